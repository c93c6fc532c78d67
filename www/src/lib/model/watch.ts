// Looking again and again at what the engine tells only when asked.

/**
 * Reads at once, and `everyMs` after each answer, while the page is visible; `null` is shown for what could not be read.
 * Returns the way to stop, after which nothing more is shown.
 */
export function watch<T>(read: () => Promise<T>, show: (value: T | null) => void, everyMs: number): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let reading = false;
  let stopped = false;

  async function look() {
    clearTimeout(timer);
    if (reading || document.visibilityState === "hidden") return;
    reading = true;
    const value = await read().catch(() => null);
    reading = false;
    if (stopped) return;
    show(value);
    timer = setTimeout(look, everyMs);
  }

  document.addEventListener("visibilitychange", look);
  void look();
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}
