using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Fleet.Kernel;
using Fleet.Kernel.Host;
using Fleet.Kernel.Judging;

namespace Fleet.Simulation.Exploration;

/// <summary>Runs the schedules of one world, each from its beginning, and collects what they break.</summary>
/// <remarks>
/// Depth first; a schedule is replayed up to the step where it leaves the one before. A fatal step ends its history, so
/// at the state before it every other enabled actor is tried too: what they would have done still counts.
/// Source: Abdulla, Aronis, Jonsson, Sagonas, "Source Sets", JACM 2017; exploration-notes sections 1, 4 and 5.
/// Differs: where an actor was blocked until a step, earlier steps are still looked at for races, which guards that can
/// close again need.
/// </remarks>
internal sealed class Search(World world, ExploreOptions options, Strategy strategy)
{
    /// <summary>Most steps of one schedule: a vector clock holds one byte for each actor.</summary>
    internal const int DepthMax = 254;

    /// <summary>Steps between two marks of the trail: fewer cost more copies, more cost more steps run again.</summary>
    private const int MarkEvery = 4;

    /// <summary>Of a checking run, the schedules whose marks are compared when they are gone back to.</summary>
    private const int ComparedAtFirst = 400;
    private const int ComparedOneOf = 16;

    /// <summary>A trail is begun after so many schedules: smaller worlds are done before it pays.</summary>
    private const int SchedulesBeforeTrail = 8;

    private readonly Frame[] _frames = new Frame[DepthMax + 1];
    /// <summary>What the steps of the schedule read and write, apart from the frames: looked at together.</summary>
    private readonly ulong[] _reads = new ulong[DepthMax + Vector256<ulong>.Count];
    private readonly ulong[] _writes = new ulong[DepthMax + Vector256<ulong>.Count];
    private readonly ulong[] _pendingReads = new ulong[(DepthMax + 1) * World.ActorsMax];
    private readonly ulong[] _pendingWrites = new ulong[(DepthMax + 1) * World.ActorsMax];
    private readonly ulong[] _keptDigests = new ulong[DepthMax + 1];
    private readonly int[] _races = new int[DepthMax + 1];
    private readonly int _actors = world.Actors.Count;
    private readonly Dictionary<KernelRule, FoundSchedule> _first = [];

    /// <summary>States that were entered, each with the actors that slept there every time.</summary>
    private readonly Dictionary<ulong, uint> _seen = [];
    private readonly HashSet<ulong>? _finalStates = options.KeepsFinalStates ? [] : null;
    private readonly bool[] _sighted = new bool[world.Scenario.Sightings.Count];
    private readonly ulong[] _partHashes = new ulong[world.DeclaredParts.Count];
    private readonly List<ulong>? _digests = options.KeepsHistories ? [] : null;
    private readonly uint[] _identical = Identical(world);
    private readonly int[] _asked = new int[world.Asked.Length];
    private readonly HashSet<ulong> _covered = [];
    private StateTrail? _trail;
    private bool _canGoBack = options.GoesBack;
    private int _nextMark = int.MaxValue;
    private RuleSet _broken;
    private FoundSchedule? _firstBlocked;
    private long _schedules;
    private long _histories;
    private long _bad;
    private long _blocked;
    private long _points;
    private long _executed;
    private int _depthMax;
    private int _warningsMin = int.MaxValue;
    private int _warningsMax;

    private struct Frame
    {
        internal uint Enabled;
        internal uint Backtrack;
        internal uint Sleep;
        internal uint Begun;
        internal byte Chosen;
        internal Vector128<byte> Clock;
    }

    internal ExploreReport Run()
    {
        var isExhausted = strategy is Strategy.Random or Strategy.Pct or Strategy.Coverage ? Sample() : DepthFirst();
        var profile = world.Profile.Name;
        return new ExploreReport
        {
            Scenario = world.Scenario.Name,
            Profile = profile,
            Strategy = strategy,
            IsExhausted = isExhausted,
            Schedules = _schedules,
            Histories = _histories,
            Bad = _bad,
            Blocked = _blocked,
            Points = _points,
            Executed = _executed,
            DepthMax = _depthMax,
            Broken = _broken,
            Worst = _broken.Worst is { } worst && worst < WorldVerdict.Hang && _blocked > 0
                ? WorldVerdict.Hang
                : _broken.Worst,
            First = _first,
            FirstBlocked = _firstBlocked,
            Unseen =
            [
                .. world.Scenario.Sightings
                    .Where((one, i) => one.Profile == profile && !_sighted[i])
                    .Select(one => one.What),
            ],
            Warnings = (_warningsMin == int.MaxValue ? 0 : _warningsMin, _warningsMax),
            FinalStates = _finalStates,
            HistoryDigests = _digests,
            Covered = _covered.Count,
            FailPoints = Enumerable.Range(0, _asked.Length)
                .Where(i => _asked[i] > 0)
                .ToDictionary(i => (FailPoint)i, i => _asked[i]),
        };
    }

    private static uint[] Identical(World world) =>
    [
        .. world.Scenario.Identical.Select(group => group
            .Select(name => world.Actors.First(actor => actor.Name == name).Index)
            .Aggregate(0U, (mask, index) => mask | (1U << index))),
    ];

    private static bool AreDependent(ulong reads, ulong writes, ulong otherReads, ulong otherWrites) =>
        (writes & (otherReads | otherWrites)) != 0 || (reads & otherWrites) != 0;

    private bool DepthFirst()
    {
        var reduces = strategy is Strategy.SourceDpor;
        var caches = strategy is Strategy.StateCache;
        var sleeps = strategy is Strategy.SourceDpor or Strategy.SleepSets
            || (caches && !world.Scenario.ReallocatesMemory && options.Grace is GraceLength.Any);
        var prefix = 0;
        var hasChoice = false;
        while (true)
        {
            if (_schedules == options.SchedulesMax || !(options.StopAt.Bits & _broken.Bits).Equals(0UL))
            {
                return false;
            }

            _schedules++;
            for (var at = BeginAt(prefix); at < prefix; at++)
            {
                Step(_frames[at].Chosen);
            }

            var depth = prefix;
            var isCut = false;
            if (options.ChecksWrites)
            {
                TakePartHashes();
            }

            while (true)
            {
                ref var frame = ref _frames[depth];
                if (hasChoice)
                {
                    hasChoice = false;
                }
                else
                {
                    frame.Begun = depth == 0 ? 0 : _frames[depth - 1].Begun | (1U << _frames[depth - 1].Chosen);
                    var enabled = Offered(world.EnabledMask(), frame.Begun);
                    if (enabled == 0)
                    {
                        break;
                    }

                    if (depth == DepthMax)
                    {
                        throw new ExplorationException(
                            $"A schedule of {world.Scenario.Id} under {world.Profile} has more than {DepthMax} steps.");
                    }

                    SavePending(depth);
                    frame.Enabled = enabled;
                    frame.Sleep = sleeps && depth > 0 ? Inherit(depth) : 0;
                    var available = (caches ? Enter(ref frame) : enabled) & ~frame.Sleep;
                    if (available == 0)
                    {
                        isCut = true;
                        break;
                    }

                    // Where one actor can step nobody comes back to.
                    if (depth >= _nextMark && (available & (available - 1)) != 0)
                    {
                        Keep(depth);
                    }

                    frame.Chosen = (byte)BitOperations.TrailingZeroCount(available);
                    frame.Backtrack = reduces ? 1U << frame.Chosen : available;
                }

                var at = depth * World.ActorsMax + frame.Chosen;
                _reads[depth] = _pendingReads[at];
                _writes[depth] = _pendingWrites[at];
                if (reduces)
                {
                    FindRaces(depth);
                }

                Step(frame.Chosen);
                if (options.ChecksWrites)
                {
                    CheckWrites(frame.Chosen, _writes[depth]);
                }

                depth++;
                if (world.Judge.IsOver)
                {
                    frame.Backtrack |= reduces ? frame.Enabled : 0;
                    break;
                }
            }

            _points += depth;
            _depthMax = Math.Max(_depthMax, depth);
            if (!isCut)
            {
                Judge(depth);
            }

            for (; depth > 0; depth--)
            {
                ref var frame = ref _frames[depth - 1];
                frame.Sleep |= 1U << frame.Chosen;
                var candidates = frame.Backtrack & frame.Enabled & ~frame.Sleep;
                if (candidates != 0)
                {
                    frame.Chosen = (byte)BitOperations.TrailingZeroCount(candidates);
                    prefix = depth - 1;
                    hasChoice = true;
                    break;
                }
            }

            if (depth == 0)
            {
                return true;
            }
        }
    }

    /// <summary>Runs schedules that the seed chooses; never exhausts.</summary>
    private bool Sample()
    {
        var choices = new ChoiceStream(options.Seed);
        var priorities = new int[World.ActorsMax];
        var changes = new int[options.PctChanges];
        var corpus = new List<byte[]>();
        while (_schedules < options.SchedulesMax && (options.StopAt.Bits & _broken.Bits) == 0)
        {
            _schedules++;
            world.Begin();
            for (var i = 0; i < _actors; i++)
            {
                priorities[i] = options.PctChanges + choices.Below(1 << 20);
            }

            for (var i = 0; i < changes.Length; i++)
            {
                changes[i] = choices.Below(Math.Max(_depthMax, 16));
            }

            if (options.ChecksWrites)
            {
                TakePartHashes();
            }

            var depth = 0;
            var isNew = false;
            var parent = strategy is Strategy.Coverage && corpus.Count > 0 && choices.Below(8) != 0
                ? corpus[choices.Below(corpus.Count)] : [];
            var follows = parent.Length == 0 ? 0 : choices.Below(parent.Length);
            var last = 0UL;
            for (var enabled = Offered(world.EnabledMask(), 0);
                enabled != 0 && depth < DepthMax;
                enabled = Offered(world.EnabledMask(), 0))
            {
                var chosen = strategy is Strategy.Pct ? Highest(enabled, priorities)
                    : depth < follows && (enabled & (1U << parent[depth])) != 0 ? parent[depth]
                    : Nth(enabled, choices.Below(BitOperations.PopCount(enabled)));
                for (var i = 0; i < changes.Length; i++)
                {
                    if (strategy is Strategy.Pct && changes[i] == depth)
                    {
                        priorities[chosen] = i;
                        chosen = Highest(enabled, priorities);
                    }
                }

                var (_, writes) = world.Pending(chosen);
                _frames[depth].Chosen = (byte)chosen;
                var here = ((ulong)chosen << 8) | (ulong)world.NextStep(chosen);
                Step(chosen);
                if (strategy is Strategy.Coverage)
                {
                    isNew |= _covered.Add((last << 16) | here) | _covered.Add(world.StateDigest());
                    last = here;
                }

                if (options.ChecksWrites)
                {
                    CheckWrites(chosen, writes);
                }

                depth++;
            }

            _points += depth;
            _depthMax = Math.Max(_depthMax, depth);
            Judge(depth);
            if (isNew)
            {
                corpus.Add(ChoicesOf(depth));
            }
        }

        return false;
    }

    private static int Nth(uint mask, int number)
    {
        for (; number > 0; number--)
        {
            mask &= mask - 1;
        }

        return BitOperations.TrailingZeroCount(mask);
    }

    private static int Highest(uint mask, int[] priorities)
    {
        var best = BitOperations.TrailingZeroCount(mask);
        for (mask &= mask - 1; mask != 0; mask &= mask - 1)
        {
            var other = BitOperations.TrailingZeroCount(mask);
            best = priorities[other] > priorities[best] ? other : best;
        }

        return best;
    }

    private void Step(int actor)
    {
        _executed++;
        _trail?.Stepped(actor);
        world.StepActor(actor);
    }

    /// <summary>Puts the world where the first steps of the last schedule had led.</summary>
    /// <returns>How many of them need not be run again.</returns>
    private int BeginAt(int steps)
    {
        if (_trail is not null)
        {
            var at = _trail.GoBack(steps);
            _nextMark = at + MarkEvery;
            var kept = _keptDigests[_trail.Count - 1];
            if (kept != 0 && kept != world.StateKey())
            {
                throw new ExplorationException(
                    $"{world.Scenario.Id} under {world.Profile}: going back to step {at} gave another state.");
            }

            return at;
        }

        world.Begin();
        if (_canGoBack && _schedules > SchedulesBeforeTrail && world.CanGoBack)
        {
            _trail = world.BeginTrail();
            Keep(0);
        }

        return 0;
    }

    private void Keep(int depth)
    {
        _trail!.Keep(depth);
        if (!_trail.IsWhole)
        {
            // A procedure of a foreign builder: every schedule is run from its beginning.
            _trail = null;
            _canGoBack = false;
            _nextMark = int.MaxValue;
            return;
        }

        _nextMark = depth + MarkEvery;
        var isCompared = options.ChecksWrites
            && (_schedules < ComparedAtFirst || _schedules % ComparedOneOf == 0);
        _keptDigests[_trail.Count - 1] = isCompared ? world.StateKey() : 0;
    }

    /// <summary>Who has to be tried at a state: whoever slept at every earlier visit, where there was one.</summary>
    /// <remarks>Source: Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", 1996, 6.3.
    /// </remarks>
    private uint Enter(ref Frame frame)
    {
        ref var slept = ref CollectionsMarshal.GetValueRefOrAddDefault(_seen, world.StateKey(), out var isKnown);
        if (!isKnown)
        {
            slept = frame.Sleep;
            return frame.Enabled;
        }

        // Who slept then and waits for something was also left out of what followed: all of it has to be run again.
        var left = slept & ~frame.Sleep;
        slept &= frame.Sleep;
        frame.Sleep = slept;
        return (left & ~frame.Enabled) == 0 ? left : frame.Enabled;
    }

    /// <summary>
    /// Who may step, of those who can: callbacks as the length of a grace period has it, and of identical actors that
    /// have not begun only the first, as beginning with another gives the same histories with the names swapped.
    /// </summary>
    private uint Offered(uint enabled, uint begun)
    {
        var callback = 1U << world.Scenario.Actors.Count;
        if (options.Grace is GraceLength.Shortest && (enabled & callback) != 0)
        {
            return callback;
        }

        if (options.Grace is GraceLength.Longest && (enabled & ~callback) != 0)
        {
            enabled &= ~callback;
        }

        if (options.UsesSymmetry)
        {
            foreach (var group in _identical)
            {
                var waiting = group & ~begun & enabled;
                enabled &= ~waiting | Lowest(waiting);
            }
        }

        return enabled;
    }

    private static uint Lowest(uint mask) => mask & unchecked((uint)-(int)mask);

    /// <summary>Names each of a set of identical actors that have not begun by the first of them.</summary>
    private uint FirstOfIdentical(uint actors, uint begun)
    {
        if (options.UsesSymmetry)
        {
            foreach (var group in _identical)
            {
                var waiting = group & ~begun;
                if ((actors & waiting) != 0)
                {
                    actors = (actors & ~waiting) | Lowest(waiting);
                }
            }
        }

        return actors;
    }

    /// <summary>A leaf: the judge's last word, and what it adds to what was known.</summary>
    private void Judge(int depth)
    {
        var judge = world.Judge;
        var unfinished = judge.IsOver ? 0 : world.UnfinishedMask();
        judge.End(unfinished);
        _histories++;
        if (!judge.Broken.IsEmpty)
        {
            _bad++;
        }

        var fresh = judge.Broken.Without(_broken);
        if (!fresh.IsEmpty)
        {
            var found = Found(depth);
            foreach (var rule in fresh.Rules)
            {
                _first.Add(rule, found);
            }

            _broken |= judge.Broken;
        }

        if (unfinished != 0)
        {
            _blocked++;
            _firstBlocked ??= Found(depth);
        }
        else if (!judge.IsOver)
        {
            _warningsMin = Math.Min(_warningsMin, judge.Warnings);
            _warningsMax = Math.Max(_warningsMax, judge.Warnings);
        }

        if (!judge.IsOver)
        {
            _finalStates?.Add(world.StateDigest());
        }

        for (var i = 0; i < _asked.Length; i++)
        {
            _asked[i] = Math.Max(_asked[i], world.Asked[i]);
        }

        if (_digests is not null)
        {
            var digest = StateHash.Seed;
            StateHash.Mix(ref digest, judge.Broken.Bits);
            StateHash.Mix(ref digest, world.StateDigest());
            for (var i = 0; i < depth; i++)
            {
                StateHash.Mix(ref digest, (ulong)_frames[i].Chosen);
            }

            _digests.Add(digest);
        }

        for (var i = 0; i < _sighted.Length; i++)
        {
            _sighted[i] = _sighted[i] || world.Scenario.Sightings[i].IsSeen(world);
        }
    }

    private FoundSchedule Found(int depth) => new(ChoicesOf(depth), _schedules, world.Judge.Broken);

    private byte[] ChoicesOf(int depth)
    {
        var choices = new byte[depth];
        for (var i = 0; i < depth; i++)
        {
            choices[i] = _frames[i].Chosen;
        }

        return choices;
    }

    private void SavePending(int depth)
    {
        for (var i = 0; i < _actors; i++)
        {
            var (reads, writes) = world.Pending(i);
            _pendingReads[depth * World.ActorsMax + i] = reads;
            _pendingWrites[depth * World.ActorsMax + i] = writes;
        }
    }

    /// <summary>
    /// Who still sleeps after the step before: those asleep or done there whose step commutes with it.
    /// </summary>
    private uint Inherit(int depth)
    {
        ref var before = ref _frames[depth - 1];
        var sleep = 0U;
        for (var rest = before.Sleep; rest != 0; rest &= rest - 1)
        {
            var sleeper = BitOperations.TrailingZeroCount(rest);
            var at = (depth - 1) * World.ActorsMax + sleeper;
            if (sleeper != before.Chosen
                && !AreDependent(_pendingReads[at], _pendingWrites[at], _reads[depth - 1], _writes[depth - 1]))
            {
                sleep |= 1U << sleeper;
            }
        }

        return sleep;
    }

    private void FindRaces(int depth)
    {
        ref var me = ref _frames[depth];
        var actor = me.Chosen;
        var clock = Vector128<byte>.Zero;
        for (var i = depth - 1; i >= 0; i--)
        {
            if (_frames[i].Chosen == actor)
            {
                clock = _frames[i].Clock;
                break;
            }
        }

        // The clock to race with leaves out steps until which this actor was blocked; the clock to keep does not.
        var racing = clock;
        var races = 0;
        var (reads, writes) = (Vector256.Create(_reads[depth]), Vector256.Create(_writes[depth]));
        var touches = reads | writes;
        for (var four = (depth - 1) & ~3; four >= 0; four -= 4)
        {
            // Four earlier steps at a time: most are independent of this one.
            var conflicts = (Vector256.LoadUnsafe(ref _writes[four]) & touches)
                | (Vector256.LoadUnsafe(ref _reads[four]) & writes);
            var dependent = ~Vector256.Equals(conflicts, Vector256<ulong>.Zero).ExtractMostSignificantBits() & 0xFU;
            for (; dependent != 0; dependent &= ~(1U << BitOperations.Log2(dependent)))
            {
                var i = four + BitOperations.Log2(dependent);
                ref var earlier = ref _frames[i];
                if (i >= depth || earlier.Chosen == actor)
                {
                    continue;
                }

                if (clock[earlier.Chosen] < i + 1)
                {
                    clock = Vector128.Max(clock, earlier.Clock);
                }

                if (racing[earlier.Chosen] < i + 1)
                {
                    _races[races++] = i;
                    if ((earlier.Enabled & (1U << actor)) != 0)
                    {
                        racing = Vector128.Max(racing, earlier.Clock);
                    }
                }
            }
        }

        me.Clock = clock.WithElement(actor, (byte)(depth + 1));
        for (var r = 0; r < races; r++)
        {
            Reverse(_races[r], depth);
        }
    }

    /// <summary>Lets one who can begin the reversed order begin at the earlier step of a race.</summary>
    private void Reverse(int at, int depth)
    {
        ref var earlier = ref _frames[at];
        var initials = 0U;
        var seen = 0U;
        var first = Vector128.Create(byte.MaxValue);
        for (var i = at + 1; i <= depth; i++)
        {
            int actor = _frames[i].Chosen;
            if (i != depth && _frames[i].Clock[earlier.Chosen] >= at + 1)
            {
                continue;
            }

            if ((seen & (1U << actor)) != 0)
            {
                continue;
            }

            seen |= 1U << actor;
            if (!Vector128.GreaterThanOrEqualAny(_frames[i].Clock.WithElement(actor, (byte)0), first))
            {
                initials |= 1U << actor;
            }

            first = first.WithElement(actor, (byte)(i + 1));
        }

        if ((initials & (earlier.Backtrack | earlier.Sleep)) != 0)
        {
            return;
        }

        var mine = 1U << _frames[depth].Chosen;
        if (_identical.Length != 0)
        {
            initials = FirstOfIdentical(initials, earlier.Begun);
            mine = FirstOfIdentical(mine, earlier.Begun);
            if ((initials & (earlier.Backtrack | earlier.Sleep)) != 0)
            {
                return;
            }
        }

        var candidates = initials & earlier.Enabled;
        if (candidates != 0)
        {
            earlier.Backtrack |= (candidates & mine) != 0 ? mine : Lowest(candidates);
        }
    }

    private void TakePartHashes()
    {
        for (var i = 0; i < _partHashes.Length; i++)
        {
            _partHashes[i] = HashOf(i);
        }
    }

    private void CheckWrites(int actor, ulong writes)
    {
        for (var i = 0; i < _partHashes.Length; i++)
        {
            var hash = HashOf(i);
            if (hash == _partHashes[i])
            {
                continue;
            }

            var (one, part, mask) = world.DeclaredParts[i];
            if ((mask & writes) == 0)
            {
                throw new UndeclaredWriteException(
                    $"{world.Scenario.Id} under {world.Profile}: a step of {world.Actors[actor].Name} before "
                    + $"{world.NextStep(actor)} changed part {part} of a {one.Kind} "
                    + $"({one.GetType().Name}) undeclared.");
            }

            _partHashes[i] = hash;
        }
    }

    private ulong HashOf(int index)
    {
        var (one, part, _) = world.DeclaredParts[index];
        var hash = StateHash.Seed;
        one.HashPart(part, ref hash);
        return hash;
    }
}
