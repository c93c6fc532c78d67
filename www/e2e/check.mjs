// `cargo xtask up --check`: one message from one browser to another through the running network.
//
//     node e2e/check.mjs http://127.0.0.1:8080
//
// Prints each state with its time, and the latency; exits 0 when the message was read, else 1.

import { Person } from "./real/person.mjs";

const [url] = process.argv.slice(2);
if (!url) {
  console.error("usage: node e2e/check.mjs <address of the app>");
  process.exit(2);
}

const since = (start) => `${(performance.now() - start).toFixed(0)} ms`;
const TEXT = "Does this arrive?";
let step = "opening the app";
const people = [];

try {
  const opened = performance.now();
  const ada = await new Person("Ada", url).arrive();
  people.push(ada);
  step = "making the first identity";
  await ada.create();
  console.log(`page load to identity ready: ${since(opened)}`);

  step = "making the second identity by the first one's link";
  const ben = await new Person("Ben", url).arrive(await ada.link());
  people.push(ben);
  await ben.create();

  // The first message of all sets the session up; the one that is timed uses it.
  step = "sending the first message";
  await ben.write("Hello");
  await ada.open(/Ben/);
  await ada.sees("Hello");

  step = "sending the message that is timed";
  const start = performance.now();
  await ada.write(TEXT);
  const arrival = ben.sees(TEXT).then(() => since(start));
  for (const state of ["sent", "delivered", "read"]) {
    step = `waiting for "${state}"`;
    await ada.reaches(TEXT, state);
    console.log(`${state}: ${since(start)}`);
  }
  console.log(`latency from Enter to the other screen: ${await arrival}`);
} catch (error) {
  console.error(`${step} failed: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  for (const person of people) await person.done().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
