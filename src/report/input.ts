import type { Event, EventOf } from "../events.ts";
import type { AnyPolicy } from "../network/policy.ts";
import type { Result } from "../run/result.ts";
import type { Markup } from "./html.ts";

/** All that a report is made of. */
export interface ReportInput {
  readonly result: Result;
  /** The whole log, in order. An imported teacher has no training events; the report then leaves those parts out. */
  readonly events: readonly Event[];
  /** Effective configuration, as YAML text. */
  readonly config: string;
  /** The teacher, whose numbers are drawn as histograms if it is no black box. */
  readonly teacher: AnyPolicy;
  /** The answer. */
  readonly policy: AnyPolicy;
}

/** One part of the page. `id` is its anchor. */
export interface Section {
  readonly id: string;
  readonly title: string;
  readonly content: Markup;
}

export function eventsOf<Type extends Event["type"]>(events: readonly Event[], type: Type): EventOf<Type>[] {
  return events.filter((event): event is EventOf<Type> => event.type === type);
}
