import { isMainThread } from "node:worker_threads";
import { register } from "../../src/environment/registry.ts";
import { Identity } from "../environment/identity.ts";

/** An environment whose thread fails by itself soon after it is first asked for one, and whose episodes are long. */
class Stray extends Identity {
  override readonly spec = { ...new Identity(2).spec, id: "Stray-v0" };

  constructor() {
    super(2, 1e6, "truncated");
    if (!isMainThread) {
      setTimeout(() => {
        throw new Error("by itself");
      }, 500);
    }
  }
}

const create = (): Stray => new Stray();
register({ spec: create().spec, create });
