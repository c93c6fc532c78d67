// What a screen reader is told beyond what the eye sees change. Shown by ui/LiveRegion.svelte.

export class Announcer {
  /** Read out when convenient. */
  polite = $state.raw("");
  private odd = false;

  say(text: string): void {
    // The same sentence twice in a row must still be a change.
    this.odd = !this.odd;
    this.polite = this.odd ? text : `${text}\u00a0`;
  }
}
