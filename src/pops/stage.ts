import type { Emitted } from "../events.ts";
import type { Plain } from "../plain.ts";

/** Passes a stage's events on and wraps its checkpoints into those of the whole. */
export async function* withCheckpoints<Result>(
  events: AsyncGenerator<Emitted, Result>,
  wrap: (inner: Plain) => Plain,
): AsyncGenerator<Emitted, Result> {
  let ended = false;
  try {
    for (;;) {
      const next = await events.next();
      if (next.done) {
        ended = true;
        return next.value;
      }
      const event = next.value;
      if (event.type === "checkpoint") yield { ...event, state: () => wrap(event.state()) };
      else yield event;
    }
  } finally {
    // A run that is stopped early stops its stages too, which end their worker threads.
    if (!ended) await events.return(undefined as Result);
  }
}
