import { MediaQuery } from "svelte/reactivity";

/** One pane at a time. The same width stands in the style sheets as `max-width: 48rem`. */
export const narrow = new MediaQuery("max-width: 48rem");
