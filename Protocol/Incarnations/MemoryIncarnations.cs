using Fleet.Kernel.History;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Streams;

namespace Fleet.Protocol.Incarnations;

/// <summary>Incarnations counted in memory: enough while objects live no longer than their process.</summary>
/// <remarks>
/// Invariant: a name is known to one of two tables. That of the run has nearly all of them anyway; what is no object of
/// the run when it is first kept has a place in a table of its own, for good. Concurrency: any thread.
/// </remarks>
public sealed class MemoryIncarnations : IIncarnations
{
    private readonly ObjectTable _others = new();
    private readonly Lock _gate = new();
    private ObjectTable? _objects;
    private Entry?[] _known = new Entry?[16];
    private Entry?[] _knownOthers = [];
    private long _refused;

    /// <summary>The newest incarnation of an object, and what the next one finds.</summary>
    /// <param name="gen">0 where something is kept under a name of which there was no incarnation.</param>
    private sealed class Entry(int gen, DeviceState before, KeptPlan? plan)
        : Tenure(gen, before, ServingTerm.Unlimited)
    {
        public DeviceState State { get; set; } = before;

        public KeptPlan? Plan { get; set; } = plan;
    }

    public bool IsFencing { get; set; } = true;

    /// <summary>Commits of an incarnation that a newer one had replaced.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    public ValueTask<Tenure> BeginAsync(string name, KeptPlan? plan = null)
    {
        lock (_gate)
        {
            ref var known = ref PlaceOf(name);
            var earlier = known;
            if (IsFencing)
            {
                earlier?.End();
            }

            known = new((earlier?.Gen ?? 0) + 1, earlier?.State ?? default, plan ?? earlier?.Plan);
            return new(known);
        }
    }

    public ValueTask<DurableObject> KnownAsync(string name)
    {
        lock (_gate)
        {
            return new(
                Known(name) is { } entry
                    ? new DurableObject(entry.Gen, entry.State, entry.Plan?.Text) : default);
        }
    }

    public ValueTask KeepAsync(string name, KeptPlan? plan)
    {
        lock (_gate)
        {
            EntryOf(name).Plan = plan;
            return default;
        }
    }

    public ValueTask<bool> TryKeepAsync(string name, int gen, KeptPlan plan)
    {
        lock (_gate)
        {
            var entry = EntryOf(name);
            if (entry.Gen != gen)
            {
                return new(false);
            }

            entry.Plan = plan;
            return new(true);
        }
    }

    public ValueTask<IReadOnlyList<string>> NamesAsync(string prefix)
    {
        lock (_gate)
        {
            return new(Planned(_objects, _known).Concat(Planned(_others, _knownOthers))
                .Where(name => name.StartsWith(prefix, StringComparison.Ordinal)).Order(StringComparer.Ordinal)
                .ToList());
        }

        static IEnumerable<string> Planned(ObjectTable? names, Entry?[] known) =>
            Enumerable.Range(0, known.Length).Where(id => known[id]?.Plan is not null).Select(id => names!.Name(id));
    }

    public ValueTask LeaveAsync(string name, Tenure tenure)
    {
        tenure.End();
        return default;
    }

    /// <summary>Lets through to a log what the newest incarnations commit, and nothing else.</summary>
    /// <param name="objects">The names of the run.</param>
    public ILifecycleLog Fence(ILifecycleLog log, ObjectTable objects)
    {
        lock (_gate)
        {
            _objects ??= objects;
        }

        return new FencedLog(this, log, objects);
    }

    private Entry EntryOf(ReadOnlySpan<char> name) => PlaceOf(name) ??= new(0, default, null);

    private Entry? Known(ReadOnlySpan<char> name) =>
        _others.Find(name) is > 0 and var other ? _knownOthers[other]
        : _objects?.Find(name) is > 0 and var id && id < _known.Length ? _known[id] : null;

    private ref Entry? PlaceOf(ReadOnlySpan<char> name)
    {
        if (_others.Find(name) is var other and not 0)
        {
            return ref _knownOthers[other];
        }

        if (_objects?.Find(name) is > 0 and var id)
        {
            return ref PlaceIn(ref _known, id);
        }

        return ref PlaceIn(ref _knownOthers, _others.Intern(name));
    }

    private static ref Entry? PlaceIn(ref Entry?[] known, int id)
    {
        if (id >= known.Length)
        {
            Array.Resize(ref known, Math.Max(id + 1, 2 * known.Length));
        }

        return ref known[id];
    }

    /// <param name="at">Of the object in question.</param>
    private Entry EntryOf(Position at, ObjectTable objects) =>
        ReferenceEquals(objects, _objects) && at.Obj < _known.Length && _known[at.Obj] is { } known
            ? known : EntryOf(objects.Name(at.Obj, stackalloc char[ObjectTable.UsualLength]));

    private void Admit(Position at, ObjectTable objects)
    {
        lock (_gate)
        {
            if (IsFencing && at.Gen < EntryOf(at, objects).Gen)
            {
                Interlocked.Increment(ref _refused);
                throw new StaleIncarnationException(objects.Name(at.Obj), at.Gen);
            }
        }
    }

    /// <remarks>To the newest incarnation, which may have begun since they were let through.</remarks>
    private void Apply(IReadOnlyList<HistoryEvent> events, ObjectTable objects)
    {
        lock (_gate)
        {
            var entry = EntryOf(events[0].At, objects);
            for (var i = 0; i < events.Count; i++)
            {
                entry.State = entry.State.After(events[i]);
            }
        }
    }

    /// <summary>What became durable changes the state that the next incarnation finds, and nothing else does.</summary>
    private sealed class FencedLog(MemoryIncarnations incarnations, ILifecycleLog log, ObjectTable objects)
        : ILifecycleLog
    {
        public ValueTask CommitAsync(IReadOnlyList<HistoryEvent> events)
        {
            if (events.Count == 0)
            {
                return log.CommitAsync(events);
            }

            incarnations.Admit(events[0].At, objects);
            var stored = log.CommitAsync(events);
            if (!stored.IsCompletedSuccessfully)
            {
                return After(stored, events);
            }

            incarnations.Apply(events, objects);
            return stored;
        }

        private async ValueTask After(ValueTask stored, IReadOnlyList<HistoryEvent> events)
        {
            await stored;
            incarnations.Apply(events, objects);
        }
    }
}
