import { expect } from "vitest";
import { type Emitted, type Event, type EventOf, eventSchema } from "../src/events.ts";
import type { Plain } from "../src/plain.ts";

/** Everything that an algorithm yielded and returned. */
export interface Drained<Result> {
  readonly events: readonly Event[];
  /** States of its checkpoints, as another process would read them, and the number of events before each. */
  readonly checkpoints: readonly { readonly state: Plain; readonly events: number }[];
  readonly result: Result;
}

export async function drain<Result>(generator: AsyncGenerator<Emitted, Result>): Promise<Drained<Result>> {
  const events: Event[] = [];
  const checkpoints: { state: Plain; events: number }[] = [];
  for (;;) {
    const next = await generator.next();
    if (next.done === true) return { events, checkpoints, result: next.value };
    if (next.value.type === "checkpoint") {
      checkpoints.push({ state: structuredClone(next.value.state()), events: events.length });
    } else {
      events.push(next.value);
    }
  }
}

/** What every log has to be: valid events whose steps never fall from `first` on. */
export function expectEvents(events: readonly Event[], first: number): void {
  let step = first;
  for (const event of events) {
    expect(eventSchema.parse(event)).toEqual(event);
    expect(event.step).toBeGreaterThanOrEqual(step);
    step = event.step;
  }
}

/** The events of one type. */
export function only<Type extends Event["type"]>(events: readonly Event[], type: Type): EventOf<Type>[] {
  return events.filter((event): event is EventOf<Type> => event.type === type);
}
