using Fleet.Kernel.History;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Streams;

namespace Fleet.Protocol.Incarnations;

/// <summary>Incarnations counted in memory: enough while objects live no longer than their process.</summary>
/// <remarks>Concurrency: any thread.</remarks>
public sealed class MemoryIncarnations : IIncarnations
{
    private readonly Dictionary<string, Entry> _known = new(StringComparer.Ordinal);
    private readonly Lock _gate = new();
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
            var earlier = _known.GetValueOrDefault(name);
            if (IsFencing)
            {
                earlier?.End();
            }

            var begun = new Entry((earlier?.Gen ?? 0) + 1, earlier?.State ?? default, plan ?? earlier?.Plan);
            _known[name] = begun;
            return new(begun);
        }
    }

    public ValueTask<DurableObject> KnownAsync(string name)
    {
        lock (_gate)
        {
            return new(
                _known.TryGetValue(name, out var entry)
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
            return new(_known.Where(
                    known => known.Value.Plan is not null && known.Key.StartsWith(prefix, StringComparison.Ordinal))
                .Select(known => known.Key).Order(StringComparer.Ordinal).ToList());
        }
    }

    public ValueTask LeaveAsync(string name, Tenure tenure)
    {
        tenure.End();
        return default;
    }

    /// <summary>Lets through to a log what the newest incarnations commit, and nothing else.</summary>
    public ILifecycleLog Fence(ILifecycleLog log, ObjectTable objects) => new FencedLog(this, log, objects);

    private Entry EntryOf(string name)
    {
        if (!_known.TryGetValue(name, out var entry))
        {
            _known[name] = entry = new(0, default, null);
        }

        return entry;
    }

    private void Admit(Position at, string name)
    {
        lock (_gate)
        {
            if (IsFencing && at.Gen < EntryOf(name).Gen)
            {
                Interlocked.Increment(ref _refused);
                throw new StaleIncarnationException(name, at.Gen);
            }
        }
    }

    private void Apply(IReadOnlyList<HistoryEvent> events, string name)
    {
        lock (_gate)
        {
            var entry = EntryOf(name);
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

            var name = objects.Name(events[0].At.Obj);
            incarnations.Admit(events[0].At, name);
            var stored = log.CommitAsync(events);
            if (!stored.IsCompletedSuccessfully)
            {
                return After(stored, events, name);
            }

            incarnations.Apply(events, name);
            return stored;
        }

        private async ValueTask After(ValueTask stored, IReadOnlyList<HistoryEvent> events, string name)
        {
            await stored;
            incarnations.Apply(events, name);
        }
    }
}
