// Where the person is. Kept in `history.state`, never in the address: addresses of people must not
// end up in the browser's history, synchronised tabs or screenshots of the address bar.

export type View =
  | { name: "home" }
  | { name: "conversation"; address: string }
  /** `at`: a section to begin with. */
  | { name: "settings"; at?: "route" };
export type Sheet = "card" | "add" | "connection" | "contact" | "verify" | "erase" | "limits";

const HOME: View = { name: "home" };

function isView(value: unknown): value is View {
  if (typeof value !== "object" || value === null || !("name" in value)) return false;
  if (value.name === "conversation") return "address" in value && typeof value.address === "string";
  return value.name === "home" || value.name === "settings";
}

interface Entry {
  view: View;
  /** Whether there is an entry of ours behind this one. */
  pushed: boolean;
}

function entryOf(state: unknown): Entry {
  if (typeof state === "object" && state !== null && "view" in state && isView(state.view))
    return { view: state.view, pushed: "pushed" in state && state.pushed === true };
  return { view: HOME, pushed: false };
}

export class Router {
  #entry = $state.raw<Entry>({ view: HOME, pushed: false });
  sheet = $state.raw<Sheet | null>(null);

  get view(): View {
    return this.#entry.view;
  }

  /** Takes up what the browser remembers of this tab; returns the way to stop. */
  attach(): () => void {
    this.#entry = entryOf(history.state);
    const onPop = (event: PopStateEvent) => {
      this.sheet = null;
      this.#entry = entryOf(event.state);
    };
    addEventListener("popstate", onPop);
    return () => removeEventListener("popstate", onPop);
  }

  go(view: View): void {
    this.sheet = null;
    if (JSON.stringify(view) === JSON.stringify(this.view)) return;
    // From one conversation to the next is not a step that "back" should undo.
    const replace = this.view.name === view.name || this.view.name !== "home";
    const entry: Entry = { view, pushed: replace ? this.#entry.pushed : true };
    if (replace) history.replaceState(entry, "");
    else history.pushState(entry, "");
    this.#entry = entry;
  }

  /** Back to the list: by the browser's own "back" where that leads there. */
  home(): void {
    this.sheet = null;
    if (this.view.name === "home") return;
    if (this.#entry.pushed) {
      history.back();
      return;
    }
    this.#entry = { view: HOME, pushed: false };
    history.replaceState(this.#entry, "");
  }

  /** Forgets everything: another identity must not see where the last one was. */
  reset(): void {
    this.sheet = null;
    this.#entry = { view: HOME, pushed: false };
    history.replaceState(this.#entry, "", location.pathname + location.search);
  }

  open(sheet: Sheet): void {
    this.sheet = sheet;
  }

  closeSheet(): void {
    this.sheet = null;
  }
}
