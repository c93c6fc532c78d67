// What the in-memory engine says of packets to itself: as many as should have gone in the time that it was connected.

import type { Cover, Mixing } from "zentalk-client";

/** From one packet to the next, in ms. */
const GAP: Record<Mixing, number> = { off: Infinity, light: 30_000, strong: 5_000 };
/** Until one is back, in ms. */
const TRIP: Record<Mixing, number> = { off: 0, light: 700, strong: 4_200 };

export class FakeCover {
  private mixing: Mixing = "off";
  private toLose = 0;
  /** How long it was connected before `since`. */
  private before = 0;
  /** Connected since; `null`: it is not. */
  private since: number | null = null;

  constructor(private readonly now: () => number) {}

  /** The engine starts anew. */
  begin(mixing: Mixing): void {
    this.mixing = mixing;
    this.before = 0;
    this.toLose = 0;
    if (this.since !== null) this.since = this.now();
  }

  online(online: boolean): void {
    if (online === (this.since !== null)) return;
    this.before = this.connected();
    this.since = online ? this.now() : null;
  }

  /** As if so much time had passed. */
  pass(ms: number): void {
    this.before += ms;
  }

  /** So many more of all that are sent do not come back. */
  lose(packets: number): void {
    this.toLose += packets;
  }

  read(): Cover {
    const gap = GAP[this.mixing];
    const time = this.connected();
    const sent = Math.floor(time / gap);
    const settled = Math.floor(Math.max(0, time - TRIP[this.mixing]) / gap);
    const lost = Math.min(this.toLose, settled);
    return { mixing: this.mixing, sent, returned: settled - lost, lost };
  }

  private connected(): number {
    return this.before + (this.since === null ? 0 : this.now() - this.since);
  }
}
