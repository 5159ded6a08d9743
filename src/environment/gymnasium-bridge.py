"""The Python side of the Gymnasium bridge (gymnasium.ts): single environments, driven over two pipes of its own.

Requests come on file descriptor 3, answers go to 4, so nothing that an environment prints can get in between. Needs the
standard library, numpy and gymnasium. The syntax is that of every Python, so that one that is too old can say so.
"""

import importlib
import io
import json
import mmap
import os
import random
import select
import signal
import struct
import sys
import time
import traceback

OLDEST = (3, 9)
# Seconds that environments have to close once nobody wants them any more.
GRACE = 5

# A request: length of what follows, operation, number of the vector. An answer: length of what follows, and its kind;
# FOLLOWED says that another answer comes without a request.
REQUEST = struct.Struct("<III")
ANSWER = struct.Struct("<II")
OPEN, CREATE, RESET, STEP, CLOSE = range(5)
DONE, REFUSED, FOLLOWED = range(3)
# The place in shared memory is -1 where observations go through the pipe.
CREATION = struct.Struct("<Iq")
BEGINNING = struct.Struct("<IQI")
SEED = struct.Struct("<I")
# What a step does with a lane: nothing, a step, or a step and, when that ends the episode, the beginning of the next.
SKIP, PLAY, PLAY_ON = range(3)
# Flags of a lane after a step.
TERMINATED, TRUNCATED, LIFE_LOST = 1, 2, 4

# Why these cannot be had: a policy file would miss what they know, or they reset by themselves.
UNFIT_WRAPPERS = {
    "NormalizeObservation": "keeps statistics that no policy file holds: use --set teacher.normalizeObservations=true",
    "NormalizeReward": "keeps statistics over episodes: use --set teacher.normalizeRewards=true",
    "Autoreset": "resets by itself: a first observation would be taken for the last one of the episode before",
}

# What methods return, as Gymnasium has it, and as environments of Gym before 0.26 do.
RETURNS = {
    "reset": "reset has to return (observation, info), in the old API it was the observation alone",
    "step": "step has to return (observation, reward, terminated, truncated, info), in the old API it was (observation, "
    "reward, done, info)",
}

# Where this process is: operation, vector and lane, in memory that the other side can read when this process has ended.
AT_OPERATION, AT_VECTOR, AT_LANE = range(3)

arrival = select.poll() if hasattr(select, "poll") else None


class Refusal(Exception):
    """What cannot be done. `kind` says whose fault it is, `names` what could have been meant."""

    def __init__(self, kind, message, names=()):
        Exception.__init__(self, message)
        self.kind = kind
        self.names = list(names)


class End(Exception):
    """The other side is gone."""


def fill(view):
    """Reads as many bytes as `view` has."""
    read = looks = 0
    while read < len(view):
        try:
            count = requests.readinto(view[read:])
        except OSError:
            count = 0
        if count is None:
            looks += 1
            if looks > LOOKS:
                arrival.poll()
            continue
        if not count:
            raise End()
        read += count


def send(view):
    written = 0
    while written < len(view):
        try:
            written += os.write(4, view[written:])
        except OSError:
            raise End()


def whereabouts():
    """Numbers that say where this process is; the other side sees them if there is shared memory."""
    try:
        return memoryview(mmap.mmap(5, 12)).cast("I")
    except (OSError, ValueError):
        return memoryview(bytearray(12)).cast("I")


def answer(payload, kind=DONE):
    send(memoryview(ANSWER.pack(len(payload), kind) + payload))


def last_line(error):
    """The last line of a traceback, and where that was."""
    line = traceback.format_exception_only(type(error), error)[-1].strip()
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return line
    path, number, _, code = frames[-1]
    if isinstance(error, SyntaxError) and os.path.exists(error.filename or ""):
        # Where it was imported says nothing.
        path, number = error.filename, error.lineno
    if "unpack" in line and "gymnasium" in path:
        # This program, or a wrapper of Gymnasium's, was given another number of values than it takes.
        line = "; ".join([line] + [RETURNS[method] for method in RETURNS if ".%s(" % method in (code or "")])
    return "%s (%s, line %d)" % (line, os.path.basename(path), number)


def pip(package):
    return "%s -m pip install %s" % (sys.executable, package)


def require(package):
    try:
        return importlib.import_module(package)
    except ImportError as error:
        reason = "is missing" if getattr(error, "name", None) == package else "cannot be imported: %s" % error
        raise Refusal("python", "the package %s %s; install it with: %s" % (package, reason, pip(package)))


def require_ale():
    try:
        return importlib.import_module("ale_py")
    except ImportError:
        raise Refusal("python", "ale-py is missing; install it with: %s" % pip('"gymnasium[atari]"'))


def import_module(name):
    """Imports the module that registers the environment: an installed one or one of the working folder."""
    sys.path.insert(0, os.getcwd())
    try:
        importlib.import_module(name)
    except Exception as error:
        missing = getattr(error, "name", None) if isinstance(error, ImportError) else None
        if missing is None:
            raise Refusal("module", "%s failed: %s" % (name, last_line(error)))
        hint = "install it with: %s" % pip(missing)
        if (name + ".").startswith(missing + "."):
            raise Refusal("module", "Python has no module %s; start in the folder that has it, or %s" % (missing, hint))
        raise Refusal("module", "%s needs the module %s, which is missing; %s" % (name, missing, hint))


def bounds(values):
    """One number where all are the same, null for infinity."""
    # Adding 0 makes one zero of both.
    numbers = [float(value) + 0.0 if abs(value) != float("inf") else None for value in values.astype(float).ravel()]
    return numbers[0] if len(set(numbers)) == 1 else numbers


def box(space):
    return {
        "kind": "box",
        "shape": list(space.shape),
        "dtype": str(space.dtype),
        "low": bounds(space.low),
        "high": bounds(space.high),
    }


class Bridge:
    """Makes environments as the first request says, and keeps them by the number of their vector."""

    def __init__(self):
        self.vectors = {}
        self.game = None
        self.gymnasium = None
        self.at = [OPEN, 0, 0]

    def open(self, options):
        """Gives versions and spaces, after an empty answer that says that this Python is fit for it."""
        if sys.version_info < OLDEST:
            found = "%d.%d" % tuple(sys.version_info[:2])
            raise Refusal("python", "%s is Python %s, expected %d.%d or later" % ((sys.executable, found) + OLDEST))
        self.numpy = require("numpy")
        self.gymnasium = require("gymnasium")
        require("gymnasium.wrappers")
        answer(b"", FOLLOWED)
        self.at = whereabouts()
        self.options = options
        if options["game"] is not None:
            self.game = Game(require_ale(), options["game"])
        elif options["module"] is not None:
            import_module(options["module"])
        elif options["id"].startswith("ALE/"):
            # Its environments are known to Gymnasium only once it is imported.
            require_ale()
        environment = self.make()
        try:
            return self.describe(environment)
        finally:
            close(environment)

    def make(self):
        gymnasium, options = self.gymnasium, self.options
        if self.game is not None:
            return Console(self.game, self.numpy, gymnasium.spaces)
        parameters = dict({"disable_env_checker": True}, **options["kwargs"])
        try:
            environment = gymnasium.make(options["id"], **parameters)
        except gymnasium.error.DependencyNotInstalled:
            raise
        except (gymnasium.error.NameNotFound, gymnasium.error.NamespaceNotFound) as error:
            raise Refusal("id", str(error), gymnasium.registry)
        except gymnasium.error.Error as error:
            raise Refusal("id", str(error))
        except TypeError as error:
            raise Refusal("kwargs" if options["kwargs"] else "environment", "cannot be made: %s" % last_line(error))
        for wrapper in options["wrappers"]:
            kind = self.wrapper(wrapper["name"])
            try:
                environment = kind(environment, **wrapper["kwargs"])
            except gymnasium.error.DependencyNotInstalled:
                raise
            except Exception as error:
                raise Refusal("wrapper", "%s cannot be applied: %s" % (wrapper["name"], last_line(error)))
        return environment

    def wrapper(self, name):
        if name in UNFIT_WRAPPERS:
            raise Refusal("wrapper", "%s %s" % (name, UNFIT_WRAPPERS[name]))
        wrappers = self.gymnasium.wrappers
        try:
            kind = getattr(wrappers, name)
        except (AttributeError, ImportError) as error:
            raise Refusal("wrapper", "%s is not to be had: %s" % (name, error), wrappers.__all__)
        if not (isinstance(kind, type) and issubclass(kind, self.gymnasium.Wrapper)):
            raise Refusal("wrapper", "%s is no wrapper of a single environment" % name)
        return kind

    def describe(self, environment):
        spaces = self.gymnasium.spaces
        seen, actions = environment.observation_space, environment.action_space
        fit = isinstance(seen, spaces.Box) and 1 <= len(seen.shape) <= 4 and 0 not in seen.shape
        if not fit or seen.dtype.kind not in "fiub":
            what = "observations are %s, expected a Box of 1 to 4 dimensions" % name_of(seen)
            raise Refusal("spaces", what + "; --env-wrapper FlattenObservation makes most spaces one")
        if isinstance(actions, spaces.Discrete):
            described = {"kind": "discrete", "n": int(actions.n), "start": int(actions.start)}
        elif isinstance(actions, spaces.Box) and len(actions.shape) >= 1 and actions.dtype.kind == "f" and actions.low.size:
            described = box(actions)
            with self.numpy.errstate(over="ignore"):
                low, high = actions.low.astype("f"), actions.high.astype("f")
            advice = "; give them others in a module of your own, named by --env-module"
            if not (self.numpy.isfinite(low).all() and self.numpy.isfinite(high).all()):
                raise Refusal("spaces", "actions have no finite bounds, which a policy needs" + advice)
            if not (low < high).all():
                raise Refusal("spaces", "actions have low bounds that are not below the high ones" + advice)
        else:
            what = "actions are %s, expected Discrete or a Box of floating-point numbers" % name_of(actions)
            raise Refusal("spaces", what + "; make them one of the two in a module of your own, named by --env-module")
        spec = environment.spec
        versions = {
            "python": "%d.%d.%d" % tuple(sys.version_info[:3]),
            "gymnasium": self.gymnasium.__version__,
            "numpy": self.numpy.__version__,
        }
        if self.game is not None:
            versions["ale-py"] = self.game.version
        return {
            "versions": versions,
            "observation": box(seen),
            "frames": seen.shape[0] if type(environment).__name__ == "FrameStackObservation" else 1,
            "action": described,
            "maxEpisodeSteps": spec and spec.max_episode_steps,
            "rewardThreshold": spec and spec.reward_threshold,
            "lives": getattr(environment, "lives", 0),
        }

    def serve(self, operation, number, length):
        self.at[AT_OPERATION], self.at[AT_VECTOR] = operation, number
        if operation == STEP:
            self.vectors[number].step()
            return
        payload = bytearray(length)
        fill(memoryview(payload))
        if operation == OPEN:
            answer(json.dumps(self.open(json.loads(payload.decode("utf-8")))).encode("utf-8"))
        elif operation == CREATE:
            self.vectors[number] = Vector(self, *CREATION.unpack(payload))
            answer(b"")
        elif operation == RESET:
            answer(self.vectors[number].reset(*BEGINNING.unpack(payload)))
        else:
            vector = self.vectors.pop(number, None)
            if vector is not None:
                vector.close()
            answer(b"")

    def misses(self, error):
        """Whether the environment says of a package, when it is first made, that it is not installed."""
        known = self.gymnasium is not None and self.at[AT_OPERATION] == OPEN
        return known and isinstance(error, self.gymnasium.error.DependencyNotInstalled)

    def refusal(self, error):
        """An error as the other side reads it."""
        kind, message, names = "environment", None, []
        if isinstance(error, Refusal):
            kind, message, names = error.kind, str(error), error.names
        elif self.misses(error):
            kind, message = "python", str(error).replace("pip install ", pip(""))
        operation, vector, lane = self.at
        refused = {
            "kind": kind,
            "message": last_line(error) if message is None else message,
            "names": names,
            "at": {"operation": operation, "vector": vector, "lane": lane},
            "traceback": traceback.format_exc(),
        }
        return json.dumps(refused).encode("utf-8")


def close(environment):
    """Closes an environment. What fails in that is said, and is no reason to lose what was done in it."""
    try:
        environment.close()
    except Exception:
        traceback.print_exc()


def name_of(space):
    text = " ".join(str(space).split())
    return text if len(text) <= 100 else type(space).__name__


class Game:
    """A game of ALE's as `options` want it, and the consoles with it that are not in use: to load one takes long."""

    def __init__(self, ale_py, options):
        self.ale_py = ale_py
        self.version = ale_py.__version__
        self.options = options
        roms = {"".join(part.capitalize() for part in rom.split("_")): rom for rom in ale_py.roms.get_all_rom_ids()}
        if options["name"] not in roms:
            raise Refusal("id", "ALE has no game %s" % options["name"], roms)
        self.rom = ale_py.roms.get_rom_path(roms[options["name"]])
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.idle = [self.load()]
        ale, _ = self.idle[0]
        self.lives = ale.lives()
        chosen, legal = options["actions"], ale.getMinimalActionSet()
        if chosen is not None and max(chosen) >= len(legal):
            names = ", ".join("%d %s" % (index, action.name) for index, action in enumerate(legal))
            raise Refusal("kwargs", "actions has %d, the game knows %s" % (max(chosen), names))
        self.actions = list(legal) if chosen is None else [legal[index] for index in chosen]
        self.fires = options["fire"]
        if self.fires is None:
            self.fires = ale_py.Action.FIRE in self.actions

    def load(self):
        """A console and the state that all episodes begin from: some games go on otherwise after another reset."""
        ale = self.ale_py.ALEInterface()
        # What repeats actions at random is `Console`, by the seed of the episode.
        ale.setFloat("repeat_action_probability", 0.0)
        ale.setInt("random_seed", 0)
        ale.loadROM(self.rom)
        ale.reset_game()
        return ale, ale.cloneState(include_rng=True)


class Console:
    """A console with a game. A step repeats its action for some frames; of the last two the lighter pixel is seen, in gray."""

    spec = None

    def __init__(self, game, np, spaces):
        self.game = game
        self.ale, self.start = game.idle.pop() if game.idle else game.load()
        self.lives = game.lives
        self.lighter = np.maximum
        self.frames = [np.zeros(self.ale.getScreenDims(), np.uint8) for _ in range(2)]
        self.seen = np.zeros_like(self.frames[0])
        self.observation_space = spaces.Box(0, 255, self.seen.shape, np.uint8)
        self.action_space = spaces.Discrete(len(game.actions))

    def reset(self, seed=None, options=None):
        game, ale = self.game, self.ale
        # Not all is in a state: the picture, and that a frame was left unfinished, are those of what was played before.
        ale.restoreState(self.start)
        for _ in range(60):
            ale.act(0)
        ale.restoreState(self.start)
        self.random = random.Random(seed)
        self.held = 0
        self.steps = 0
        for _ in range(options["no_ops"] if options else 0):
            ale.act(0)
        if game.fires:
            for _ in range(game.options["skip"]):
                ale.act(1)
        if ale.game_over():
            raise RuntimeError("the game is over before it began: leave FIRE out of the actions")
        ale.getScreenGrayscale(self.seen)
        self.lives = ale.lives()
        return self.seen, {}

    def step(self, action):
        game, ale = self.game, self.ale
        wanted, sticky, skip = game.actions[action], game.options["sticky"], game.options["skip"]
        self.steps += 1
        reward = 0
        for frame in range(skip):
            if not sticky or self.random.random() >= sticky:
                self.held = wanted
            reward += ale.act(self.held)
            over = ale.game_over()
            if frame == skip - 2 or over:
                ale.getScreenGrayscale(self.frames[0])
            if frame == skip - 1 or over:
                ale.getScreenGrayscale(self.frames[1])
            if over:
                break
        lives = ale.lives()
        self.life_lost = lives < self.lives and not over
        self.lives = lives
        self.lighter(*self.frames, out=self.seen)
        return self.seen, reward, over, self.steps >= game.options["limit"], {}

    def close(self):
        self.game.idle.append((self.ale, self.start))


class Vector:
    """Lanes whose buffers are made once; each lane's environment is made at its first reset."""

    def __init__(self, bridge, size, place):
        np = bridge.numpy
        sample = bridge.make()
        seen, actions = sample.observation_space, sample.action_space
        self.make = bridge.make
        self.at = bridge.at
        self.np = np
        self.plays_game = isinstance(sample, Console)
        self.lanes = [sample] + [None] * (size - 1)
        self.shape = seen.shape
        kind = np.dtype(np.uint8 if seen.dtype == np.uint8 else np.float32)
        width = int(np.prod(seen.shape))
        seen_bytes = kind.itemsize * size * width
        shared = place >= 0
        rewards, observations = ANSWER.size, ANSWER.size + 8 * size
        flags = observations if shared else observations + seen_bytes
        self.buffer = bytearray(flags + size)
        self.answer = memoryview(self.buffer)
        self.rewards = self.answer[rewards:observations].cast("d")
        self.flags = self.answer[flags:]
        holder, first = (mmap.mmap(5, seen_bytes, offset=place), 0) if shared else (self.buffer, observations)
        rows = np.frombuffer(holder, kind, size * width, first).reshape((size,) + seen.shape)
        self.rows = [rows[lane] for lane in range(size)]
        # The other side may still read what came last from `rows`.
        self.first = np.zeros(seen.shape, kind)
        self.byte = kind if kind == np.uint8 else None
        self.discrete = isinstance(actions, bridge.gymnasium.spaces.Discrete)
        self.start = int(actions.start) if self.discrete else 0
        self.space = actions
        shape = (size,) if self.discrete else (size,) + actions.shape
        given = np.dtype(np.int32 if self.discrete else np.float32)
        count = int(np.prod(shape))
        self.seeds = 4 * count
        request = bytearray(self.seeds + 4 * size + size)
        self.request = memoryview(request)
        self.actions = np.frombuffer(request, given, count).reshape(shape)
        self.wanted = self.request[self.seeds + 4 * size :]

    def reset(self, lane, seed, no_ops=0):
        self.at[AT_OPERATION], self.at[AT_LANE] = RESET, lane
        if self.lanes[lane] is None:
            self.lanes[lane] = self.make()
        options = {"no_ops": no_ops} if no_ops else None
        begun = self.lanes[lane].reset(seed=seed, options=options)
        if not (isinstance(begun, tuple) and len(begun) == 2):
            # Unpacked, two numbers of an observation would be taken for the two.
            raise Refusal("environment", "%s was returned; %s" % (type(begun).__name__, RETURNS["reset"]))
        observation, _ = begun
        self.observe(observation, self.first)
        return self.first.tobytes()

    def choices(self):
        """The actions that were sent, as the environments take them; copies, which an environment may keep."""
        if self.discrete:
            # Plain integers: environments compute faster with them than with numpy's.
            chosen = self.actions.tolist()
            return [choice + self.start for choice in chosen] if self.start else chosen
        chosen = self.actions.astype(self.space.dtype)
        # Bounds were rounded to float32 on their way.
        return self.np.clip(chosen, self.space.low, self.space.high)

    def step(self):
        fill(self.request)
        wanted, lanes, rows, shape = self.wanted, self.lanes, self.rows, self.shape
        rewards, flags, array, byte, at = self.rewards, self.flags, self.np.ndarray, self.byte, self.at
        ended = []
        for lane, action in enumerate(self.choices()):
            if wanted[lane] == SKIP:
                continue
            at[AT_LANE] = lane
            environment = lanes[lane]
            observation, reward, terminated, truncated, _ = environment.step(action)
            if (
                observation.__class__ is array
                and observation.shape == shape
                and (byte is None or observation.dtype == byte)
            ):
                rows[lane][...] = observation
            else:
                self.observe(observation, rows[lane])
            try:
                rewards[lane] = reward
            except Exception:
                found = "%.100r of type %s" % (reward, type(reward).__name__)
                raise Refusal("environment", "the reward is %s, expected a number" % found)
            ends = (TERMINATED if terminated else 0) | (TRUNCATED if truncated else 0)
            flags[lane] = ends | LIFE_LOST if self.plays_game and environment.life_lost else ends
            if ends and wanted[lane] == PLAY_ON:
                ended.append(lane)
        ANSWER.pack_into(self.buffer, 0, len(self.buffer) - ANSWER.size, FOLLOWED if ended else DONE)
        send(self.answer)
        # While the other side sees what the step led to, final observations included, the next episodes begin.
        if ended:
            seeds = (SEED.unpack_from(self.request, self.seeds + 4 * lane)[0] for lane in ended)
            answer(b"".join([self.reset(lane, seed) for lane, seed in zip(ended, seeds)]))

    def observe(self, observation, into):
        values = self.np.asarray(observation)
        if values.shape != self.shape:
            found, expected = list(values.shape), list(self.shape)
            what = "an observation of shape %s was returned, its space has %s" % (found, expected)
            raise Refusal("environment", what)
        if self.byte is not None and values.dtype != self.byte:
            with self.np.errstate(invalid="ignore"):
                cast = values.astype(self.byte)
            if not (cast == values).all():
                what = "an observation of %s with numbers that are no bytes was returned, its space has uint8"
                raise Refusal("environment", what % values.dtype)
        into[...] = values

    def close(self):
        for environment in self.lanes:
            if environment is not None:
                close(environment)


def watched():
    """
    Starts a process that ends this one, and what it started, when the other side is gone, also while an environment hangs in
    native code: a thread would need the interpreter's lock, which that may hold. Gives its number.
    """
    bridge = os.getpid()
    watcher = os.fork()
    if watcher:
        return watcher
    try:
        # Signals to the processes of this one's group, which the other side started as one, are not for it.
        group = os.getpgrp()
        os.setsid()
        # It must not keep anyone waiting for the end of an output or of the answers.
        os.closerange(0, 3)
        os.closerange(4, 256)
        pipe = select.poll()
        pipe.register(3, select.POLLHUP)
        grace = GRACE
        while grace > 0 and os.getppid() == bridge:
            time.sleep(1)
            if pipe.poll(0):
                grace -= 1
        if os.getppid() == bridge:
            os.killpg(group, signal.SIGKILL)
    finally:
        os._exit(0)


def main():
    # What comes before is taken for another program's: the other side shows it only if this one never begins.
    os.dup2(2, 1)
    # Ctrl-C reaches the whole terminal; when to stop is the other side's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watcher = None
    if sys.version_info >= OLDEST:
        # Programs that an environment starts must not hold the pipes open. This file's folder has no modules for Python.
        os.set_inheritable(3, False)
        os.set_inheritable(4, False)
        try:
            os.set_inheritable(5, False)
        except OSError:
            # No shared memory.
            pass
        # Not there with PYTHONSAFEPATH.
        if sys.path and os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
            sys.path.pop(0)
        if arrival is not None:
            os.set_blocking(3, False)
            arrival.register(3, select.POLLIN)
            watcher = watched()
    bridge = Bridge()
    header = bytearray(REQUEST.size)
    try:
        while True:
            fill(memoryview(header))
            length, operation, number = REQUEST.unpack(bytes(header))
            try:
                bridge.serve(operation, number, length)
            except End:
                raise
            except Exception as error:
                try:
                    refused = bridge.refusal(error)
                except Exception:
                    # Its class may do as it likes.
                    refused = bridge.refusal(RuntimeError("%s, which cannot be shown" % type(error).__name__))
                answer(refused, REFUSED)
    except End:
        pass
    for vector in bridge.vectors.values():
        vector.close()
    sys.stdout.flush()
    sys.stderr.flush()
    if watcher is not None:
        # Waited for, since not everywhere is there a process that does so for orphans.
        try:
            os.kill(watcher, signal.SIGKILL)
            os.waitpid(watcher, 0)
        except OSError:
            # The environment waited for all children there were.
            pass
    # What an environment has started and not ended ends with it, and its threads do not hold it up.
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(0)


# Not in the processes that multiprocessing starts for an environment, which import this file.
if __name__ == "__main__":
    # Looks for a request before this process sleeps until there is one: to be woken takes longer than a hundred of them.
    LOOKS = int(sys.argv[1])
    requests = io.FileIO(3, "r")
    main()
