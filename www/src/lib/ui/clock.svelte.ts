// The present, as state: components that show relative times or countdowns read it.

/** Advances every `stepMs` while the calling component lives. */
export function tick(stepMs: number): { readonly now: number } {
  let now = $state(Date.now());
  $effect(() => {
    const timer = setInterval(() => (now = Date.now()), stepMs);
    return () => clearInterval(timer);
  });
  return {
    get now() {
      return now;
    },
  };
}
