using System.Runtime.CompilerServices;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Kernel.Judging;
using Fleet.Kernel.Memremap;
using Fleet.Kernel.P2pdma;
using Fleet.Kernel.Profiles;
using Fleet.Simulation.Scenarios;

namespace Fleet.Simulation.Exploration;

/// <summary>
/// One small world: its objects, its actors and its judge; made once and begun anew for every schedule.
/// </summary>
/// <remarks>
/// Invariant: <see cref="Begin"/> always leads to the same state, so a schedule is a list of actor numbers.
/// Concurrency: one thread, without a synchronisation context. Limits: 16 actors, 64 declared sets.
/// </remarks>
public sealed class World
{
    /// <summary>Most actors of a world: what a vector clock of 16 bytes holds.</summary>
    public const int ActorsMax = WorldJudge.ActorsMax;

    private readonly List<KernelObject> _objects = [];
    private readonly List<(KernelObject Object, int Part, ulong Mask)> _parts = [];
    private readonly Scenario _scenario;
    private readonly Actor[] _actors;
    private readonly Actor _prologue;
    private readonly Actor _rcu;
    private readonly Actor? _cpu;
    private readonly List<RefObject> _refs = [];
    private readonly int[] _asked = new int[FailPoints.Names.Count() + 1];
    private readonly Func<ExploreHost, ValueTask>[] _procedures;
    private readonly List<ArmedInjection> _injections = [];
    private readonly object[] _roots;
    private readonly StateGraph _stateKey;
    private StateCopy? _begun;
    private bool _hasBegun;
    private int _nextBit;

    public World(Scenario scenario, KernelProfile profile)
    {
        _scenario = scenario;
        Profile = profile;
        Registry = new PagemapRegistry(Layouts.SectionPages);
        Device = Add(new PciDevice());
        Judge = new WorldJudge(profile, Device);
        CallbacksMask = NextMask();
        _procedures = [.. scenario.Actors.Select(one => one.Procedure)];
        _actors =
        [
            .. scenario.Actors.Select((one, i) => new Actor(one.Name, i)),
            new Actor("rcu", scenario.Actors.Count),
            .. scenario.ShowsKillsLate ? [new Actor("cpu", scenario.Actors.Count + 1)] : Array.Empty<Actor>(),
        ];
        _rcu = _actors[scenario.Actors.Count];
        _cpu = scenario.ShowsKillsLate ? _actors[^1] : null;
        foreach (var actor in _actors)
        {
            actor.ReaderMask = actor == _rcu || actor == _cpu ? 0 : NextMask();
            AllReadersMask |= actor.ReaderMask;
        }

        _prologue = new Actor("prologue", 0) { RunsFree = true };
        Parts = new WorldParts(this, scenario);
        foreach (var one in _objects)
        {
            for (var part = 0; part < one.PartCount; part++)
            {
                _parts.Add((one, part, one.PartMask(part)));
            }
        }

        Device.QuiescenceMask = ulong.MaxValue & ~AllReadersMask & ~CallbacksMask;
        _roots = [.. _actors, .. _objects, Rcu, Registry, Judge, Parts, _injections, _asked];
        _stateKey = new(_roots);
    }

    public Scenario Scenario => _scenario;

    public KernelProfile Profile { get; }

    public RcuDomain Rcu { get; } = new();

    public PagemapRegistry Registry { get; }

    public PciDevice Device { get; }

    public WorldJudge Judge { get; }

    /// <summary>The objects that the scenario's steps name, and what its actors hold.</summary>
    public WorldParts Parts { get; }

    public IReadOnlyList<Actor> Actors => _actors;

    /// <summary>Failures that were armed and have struck.</summary>
    public int InjectionsHit
    {
        get
        {
            var hit = 0;
            foreach (var armed in _injections)
            {
                hit += armed.Hit <= 0 ? 1 : 0;
            }

            return hit;
        }
    }

    /// <summary>How often each step that can fail was about to run since <see cref="Begin"/>.</summary>
    internal ReadOnlySpan<int> Asked => _asked;

    internal ulong AllReadersMask { get; }

    internal ulong CallbacksMask { get; }

    /// <summary>Sets that have been given out.</summary>
    internal int Bits => _nextBit;

    internal IReadOnlyList<(KernelObject Object, int Part, ulong Mask)> DeclaredParts => _parts;

    /// <summary>Puts everything where the scenario begins: prologue done, every actor at its first point.</summary>
    public void Begin()
    {
        foreach (var actor in _actors)
        {
            actor.Abandon();
        }

        // Whoever listens wants to hear what happened before, too.
        if (_begun is not null && Judge.Witness is null && Parts.Clients is null)
        {
            _begun.PutBack();
        }
        else
        {
            BeginAnew();
            if (_hasBegun && !Judge.IsOver && Judge.Witness is null && Parts.Clients is null)
            {
                _begun = new(_roots);
            }

            _hasBegun = true;
        }

        for (var i = 0; i < _procedures.Length && !Judge.IsOver; i++)
        {
            Judge.Actor = i;
            _actors[i].Start(_procedures[i](new ExploreHost(this, _actors[i])));
            _actors[i].TryFinish();
        }
    }

    /// <summary>Everything up to the first steps of the actors.</summary>
    private void BeginAnew()
    {
        Rcu.Reset();
        Registry.Reset();
        foreach (var one in _objects)
        {
            one.Reset();
        }

        Judge.Reset();
        Parts.Reset();
        Array.Clear(_asked);
        _injections.Clear();
        foreach (var (point, hit) in _scenario.Injections)
        {
            _injections.Add(new(point, hit));
        }

        _prologue.RunsFree = true;
        var witness = Judge.Witness;
        Judge.Witness = null;
        Parts.BeginLayout(new ExploreHost(this, _prologue));
        Judge.Witness = witness;
        Judge.Reset();
        if (_scenario.Prologue is { } prologue)
        {
            Judge.Actor = 0;
            _prologue.Start(prologue(new ExploreHost(this, _prologue)));
            if (!_prologue.TryFinish() && !Judge.IsOver)
            {
                throw new StuckPrologueException($"The prologue of {_scenario.Name} waits for something.");
            }
        }
    }

    /// <summary>Actors that may step now, as bits.</summary>
    public uint EnabledMask()
    {
        if (Judge.IsOver)
        {
            return 0;
        }

        var enabled = HiddenKill() is null
            ? Rcu.IsNextRunnable ? 1U << _rcu.Index : 0
            : 1U << _cpu!.Index;
        for (var i = 0; i < _procedures.Length; i++)
        {
            enabled |= _actors[i].IsEnabled ? 1U << i : 0;
        }

        return enabled;
    }

    /// <summary>Actors whose procedure has not come to its end, as bits; a leaf with any is blocked.</summary>
    public uint UnfinishedMask()
    {
        var unfinished = 0U;
        for (var i = 0; i < _procedures.Length; i++)
        {
            unfinished |= _actors[i].IsSuspended ? 1U << i : 0;
        }

        return unfinished;
    }

    /// <summary>What the next step of an actor may read and write.</summary>
    public (ulong Reads, ulong Writes) Pending(int actor)
    {
        if (actor == _rcu.Index)
        {
            return Rcu.NextCallback is { } next ? (AllReadersMask, CallbacksMask | next.Touches) : default;
        }

        if (actor == _cpu?.Index)
        {
            return HiddenKill() is { } hidden ? (AllReadersMask, CallbacksMask | hidden.Mask) : default;
        }

        return (_actors[actor].Reads, _actors[actor].Writes);
    }

    /// <summary>What the next step of an actor is.</summary>
    public Step NextStep(int actor) => actor == _rcu.Index ? Step.SwitchCallback
        : actor == _cpu?.Index ? Step.ShowKill
        : _actors[actor].Step;

    /// <summary>Runs one step, up to that actor's next point.</summary>
    public void StepActor(int actor)
    {
        Judge.Actor = actor;
        if (actor == _rcu.Index)
        {
            if (Rcu.NextCallback?.FreedMemory is { } freed)
            {
                Judge.Die(OopsKind.UseAfterFree, freed, "the callback of a mode switch runs in freed memory");
                return;
            }

            Rcu.RunCallback();
            return;
        }

        if (actor == _cpu?.Index)
        {
            HiddenKill()!.ShowKill();
            return;
        }

        var stepping = _actors[actor];
        stepping.Resume();
        if (!stepping.IsSuspended && !stepping.TryFinish() && !Judge.IsOver)
        {
            throw new ExplorationException(
                $"Actor {stepping.Name} of {_scenario.Id} awaits something that no step of the world completes.");
        }
    }

    /// <summary>Digest of everything that later steps can see, apart from what actors know by themselves.</summary>
    public ulong StateDigest()
    {
        var hash = StateHash.Seed;
        foreach (var (one, part, _) in _parts)
        {
            one.HashPart(part, ref hash);
        }

        Rcu.HashInto(ref hash);
        return hash;
    }

    /// <summary>Digest of a state with what each actor knows: equal ones go on alike.</summary>
    internal ulong StateKey() => _stateKey.Digest();

    /// <summary>Nobody listens who would not hear again what is gone back to.</summary>
    internal bool CanGoBack => Judge is { IsOver: false, Witness: null } && Parts.Clients is null;

    internal StateTrail BeginTrail() => new(_roots, _actors);

    internal T Add<T>(T one)
        where T : KernelObject
    {
        _objects.Add(one);
        one.Mask = NextMask();
        if (one is RefObject counted)
        {
            counted.CountMask = NextMask();
            counted.ReapedMask = NextMask();
            counted.ShowsKillsLate = _scenario.ShowsKillsLate;
            _refs.Add(counted);
        }

        if (one is DevPagemap map)
        {
            map.EntryMask = NextMask();
            map.PagesMask = NextMask();
        }

        return one;
    }

    /// <summary>Runs every callback that may run; only while nobody else steps.</summary>
    internal void Settle()
    {
        while (HiddenKill() is { } hidden)
        {
            hidden.ShowKill();
        }

        Rcu.RunCallbacks();
    }

    internal Errno Inject(FailPoint point, KernelObject? subject)
    {
        _asked[(int)point]++;
        for (var i = 0; i < _injections.Count; i++)
        {
            var armed = _injections[i];
            if (armed.Point == point)
            {
                _injections[i] = armed with { Hit = armed.Hit - 1 };
                if (armed.Hit == 1)
                {
                    Judge.Emit(new KernelEvent(Kernel.History.EventKind.Inject, null, subject)
                    {
                        Fn = FailPoints.WireName(point),
                    });
                    return FailPoints.DefaultErrno(point);
                }
            }
        }

        return Errno.OK;
    }

    /// <summary>A grace period: it begins at one step, and ends at a second one only if somebody was reading.</summary>
    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal async ValueTask Synchronize(ExploreHost host)
    {
        await host.Point(Step.Synchronize, AllReadersMask, 0);
        host.Tell(EventKind.GpWaitBegin);
        var since = Rcu.Synchronize();
        if (!Rcu.HasElapsed(since))
        {
            await host.Wait(Step.Synchronize, new GraceEnd(Rcu, since), AllReadersMask, 0);
        }

        host.Tell(EventKind.GpWaitEnd);
    }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    internal async ValueTask SysfsRemove(ExploreHost host, PciDevice device) =>
        await host.Wait(Step.SysfsRemove, new ShowsEnded(device), device.Mask, device.Mask);

    /// <summary>The callback of a switch waits until the kill is seen, so one at a time is enough.</summary>
    private RefObject? HiddenKill()
    {
        if (_cpu is null)
        {
            return null;
        }

        foreach (var counted in _refs)
        {
            if (counted.IsKillHidden)
            {
                return counted;
            }
        }

        return null;
    }

    private ulong NextMask()
    {
        if (_nextBit == 64)
        {
            throw new ExplorationException($"World {_scenario.Id} declares more than 64 sets.");
        }

        return 1UL << _nextBit++;
    }

    private record struct ArmedInjection(FailPoint Point, int Hit);

    private sealed class GraceEnd(RcuDomain rcu, RcuGracePeriod since) : IReadiness, IOwnDigest
    {
        public bool IsReady => rcu.HasElapsed(since);

        public void HashInto(ref ulong hash) => StateHash.Mix(ref hash, rcu.BlockedBy(since));
    }

    private sealed class ShowsEnded(PciDevice device) : IReadiness
    {
        public bool IsReady => device.IsSysfsIdle;
    }
}

/// <summary>
/// A defect of the explorer, of a world or of a declaration in the law; never a finding about the kernel.
/// </summary>
public class ExplorationException(string message) : Exception(message);

/// <summary>What happens before a world waits for something that nobody does there.</summary>
public sealed class StuckPrologueException(string message) : ExplorationException(message);

/// <summary>A step changed what it had not declared: reductions that believe the declaration lose schedules.</summary>
public sealed class UndeclaredWriteException(string message) : ExplorationException(message);
