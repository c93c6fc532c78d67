// Before the first paint: the theme that was chosen by hand, if any (src/lib/model/theme.svelte.ts).
try {
  const theme = localStorage.getItem("zentalk.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the system's theme.
}
