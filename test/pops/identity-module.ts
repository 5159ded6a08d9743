import { register } from "../../src/environment/registry.ts";
import { Identity } from "../environment/identity.ts";

/** What a user's own module does: worker threads import it too. */
const create = (): Identity => new Identity();
register({ spec: create().spec, create });
