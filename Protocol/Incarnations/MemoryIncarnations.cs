using System.Text;
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

    private sealed class Entry
    {
        public int Gen { get; set; }

        public DeviceState State { get; set; }

        /// <summary>In UTF-8: hardly ever read, and there is one for each device.</summary>
        public byte[]? Plan { get; set; }

        public string? PlanText => Plan is null ? null : Encoding.UTF8.GetString(Plan);

        public Tenure? Tenure { get; set; }
    }

    public bool IsFencing { get; set; } = true;

    /// <summary>Commits of an incarnation that a newer one had replaced.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    public ValueTask<Tenure> BeginAsync(string name, string? plan = null)
    {
        lock (_gate)
        {
            var entry = EntryOf(name);
            if (IsFencing)
            {
                entry.Tenure?.End();
            }

            entry.Plan = BytesOf(plan) ?? entry.Plan;
            entry.Tenure = new(++entry.Gen, entry.State, ServingTerm.Unlimited);
            return new(entry.Tenure);
        }
    }

    public ValueTask<DurableObject> KnownAsync(string name)
    {
        lock (_gate)
        {
            return new(
                _known.TryGetValue(name, out var entry)
                    ? new DurableObject(entry.Gen, entry.State, entry.PlanText) : default);
        }
    }

    public ValueTask KeepAsync(string name, string? plan)
    {
        lock (_gate)
        {
            EntryOf(name).Plan = BytesOf(plan);
            return default;
        }
    }

    public ValueTask<bool> TryKeepAsync(string name, int gen, string plan)
    {
        lock (_gate)
        {
            var entry = EntryOf(name);
            if (entry.Gen != gen)
            {
                return new(false);
            }

            entry.Plan = BytesOf(plan);
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

    private static byte[]? BytesOf(string? plan) => plan is null ? null : Encoding.UTF8.GetBytes(plan);

    private Entry EntryOf(string name)
    {
        if (!_known.TryGetValue(name, out var entry))
        {
            _known[name] = entry = new();
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
            foreach (var happened in events)
            {
                entry.State = entry.State.After(happened);
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
