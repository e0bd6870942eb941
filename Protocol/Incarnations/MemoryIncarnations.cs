using Fleet.Kernel.History;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Streams;

namespace Fleet.Protocol.Incarnations;

/// <summary>Incarnations counted in memory: enough while objects live no longer than their process.</summary>
/// <remarks>Concurrency: any thread.</remarks>
public sealed class MemoryIncarnations : IIncarnations
{
    // A table of its own: what is kept here need not be an object of the run, and most names cost next to nothing.
    private readonly ObjectTable _names = new();
    private readonly Lock _gate = new();
    private Entry?[] _known = new Entry?[16];
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
            ref var known = ref PlaceOf(_names.Intern(name));
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
                Known(_names.Find(name)) is { } entry
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
            return new(Enumerable.Range(1, _names.LastId).Where(id => Known(id)?.Plan is not null).Select(_names.Name)
                .Where(name => name.StartsWith(prefix, StringComparison.Ordinal)).Order(StringComparer.Ordinal)
                .ToList());
        }
    }

    public ValueTask LeaveAsync(string name, Tenure tenure)
    {
        tenure.End();
        return default;
    }

    /// <summary>Lets through to a log what the newest incarnations commit, and nothing else.</summary>
    public ILifecycleLog Fence(ILifecycleLog log, ObjectTable objects) => new FencedLog(this, log, objects);

    private Entry EntryOf(string name) => EntryOf(_names.Intern(name));

    private Entry EntryOf(int id) => PlaceOf(id) ??= new(0, default, null);

    private Entry? Known(int id) => id < _known.Length ? _known[id] : null;

    private ref Entry? PlaceOf(int id)
    {
        if (id >= _known.Length)
        {
            Array.Resize(ref _known, Math.Max(id + 1, 2 * _known.Length));
        }

        return ref _known[id];
    }

    /// <returns>The object here.</returns>
    private int Admit(Position at, ReadOnlySpan<char> name)
    {
        lock (_gate)
        {
            var id = _names.Intern(name);
            if (IsFencing && at.Gen < EntryOf(id).Gen)
            {
                Interlocked.Increment(ref _refused);
                throw new StaleIncarnationException(name.ToString(), at.Gen);
            }

            return id;
        }
    }

    private void Apply(IReadOnlyList<HistoryEvent> events, int id)
    {
        lock (_gate)
        {
            var entry = EntryOf(id);
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

            var at = events[0].At;
            var id = incarnations.Admit(at, objects.Name(at.Obj, stackalloc char[ObjectTable.UsualLength]));
            var stored = log.CommitAsync(events);
            if (!stored.IsCompletedSuccessfully)
            {
                return After(stored, events, id);
            }

            incarnations.Apply(events, id);
            return stored;
        }

        private async ValueTask After(ValueTask stored, IReadOnlyList<HistoryEvent> events, int id)
        {
            await stored;
            incarnations.Apply(events, id);
        }
    }
}
