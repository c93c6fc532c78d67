// Whether somebody is looking: the page is visible and has the focus.

export class Activity {
  active = $state.raw(false);

  attach(): () => void {
    const update = () => {
      this.active = document.visibilityState === "visible" && document.hasFocus();
    };
    update();
    document.addEventListener("visibilitychange", update);
    addEventListener("focus", update);
    addEventListener("blur", update);
    return () => {
      document.removeEventListener("visibilitychange", update);
      removeEventListener("focus", update);
      removeEventListener("blur", update);
    };
  }
}
