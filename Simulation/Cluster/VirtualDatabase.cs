using Fleet.Kernel.History;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Streams;

namespace Fleet.Simulation.Cluster;

/// <summary>What survives every crash: incarnations, lifecycle events, the state of each device.</summary>
/// <remarks>
/// A commit is one conditional transaction: all events of one object, or, when a newer incarnation of that object is
/// known, none. What was applied stays applied although nobody may be left to hear of it.
/// </remarks>
internal sealed class VirtualDatabase(VirtualCluster cluster, DatabasePlan plan, PlantedBug bug)
{
    private readonly RandomChoice _random = new(cluster.Plan.Run.Seed, "database");
    private readonly Dictionary<string, int> _gens = new(StringComparer.Ordinal);
    private readonly Dictionary<int, int> _gensById = [];
    private readonly Dictionary<int, DeviceState> _devices = [];

    /// <summary>Nothing is answered before this instant.</summary>
    public long DownUntilNs { get; set; }

    public long SlowUntilNs { get; set; }

    /// <summary>Commits of an incarnation that a newer one had replaced.</summary>
    public long Refused { get; private set; }

    public long Commits { get; private set; }

    public DeviceState StateOf(int device) => _devices.GetValueOrDefault(device);

    public int GenOf(string name) => _gens.GetValueOrDefault(name);

    public ILifecycleLog LogOf(Func<Silo> silo) => new Port(this, silo);

    public IIncarnations IncarnationsOf() => new Numbers(this);

    /// <summary>One way to the database or back.</summary>
    public long HopNs()
    {
        var hop = _random.Between(plan.Least, plan.Most) / 2;
        return cluster.Time.NowNs < SlowUntilNs ? hop + _random.Between(TimeSpan.Zero, plan.SlowMost) : hop;
    }

    /// <summary>Does something in the database, as soon as that answers, and hands over what it came to.</summary>
    public Task<T> Ask<T>(Func<T> transaction)
    {
        var answer = new TaskCompletionSource<T>();
        var asker = (TurnContext)SynchronizationContext.Current!;
        cluster.Time.After(HopNs(), Try);
        return answer.Task;

        void Try()
        {
            if (cluster.Time.NowNs < DownUntilNs)
            {
                // Whoever asked may be gone by the time; a transaction that was not begun is then never begun.
                cluster.Time.After(RandomChoice.Nanoseconds(plan.RetryAfter), () =>
                {
                    if (!asker.IsOver)
                    {
                        Try();
                    }
                });
                return;
            }

            var result = transaction();
            asker.After(HopNs(), () => answer.TrySetResult(result));
        }
    }

    private int IdOf(string name) => cluster.Objects.Intern(name);

    private int Next(string name)
    {
        var next = bug is PlantedBug.NoFencing ? 1 : _gens.GetValueOrDefault(name) + 1;
        _gens[name] = next;
        _gensById[cluster.Objects.Intern(name)] = next;
        return next;
    }

    /// <returns>False when a newer incarnation is known: nothing was stored.</returns>
    private bool Store(HistoryEvent[] events)
    {
        var obj = events[0].At.Obj;
        Commits++;
        if (bug is not PlantedBug.NoFencing && events[0].At.Gen < _gensById.GetValueOrDefault(obj))
        {
            Refused++;
            return false;
        }

        var state = _devices.GetValueOrDefault(obj);
        foreach (var happened in events)
        {
            state = state.After(happened);
            cluster.History.Add(happened);
        }

        if (cluster.Objects.Kind(obj) is ObjectKind.Device)
        {
            _devices[obj] = state;
        }

        return true;
    }

    private sealed class Port(VirtualDatabase database, Func<Silo> silo) : ILifecycleLog
    {
        public ValueTask CommitAsync(IReadOnlyList<HistoryEvent> events)
        {
            if (events.Count == 0)
            {
                return ValueTask.CompletedTask;
            }

            return new(CommitAsync([.. events]));
        }

        private async Task CommitAsync(HistoryEvent[] events)
        {
            var asker = (Activation)SynchronizationContext.Current!;
            if (!await database.Ask(() => database.Store(events)))
            {
                // The newer incarnation stands: this one stops, and nobody hears of it again.
                silo().Hosted.Remove(asker.Grain);
                asker.End();
                await new TaskCompletionSource().Task;
            }
        }
    }

    private sealed class Numbers(VirtualDatabase database) : IIncarnations
    {
        /// <summary>A planted bug takes the fence away, never a plan.</summary>
        public bool IsFencing { get; set; } = true;

        /// <summary>A silo that wakes is cut off before it hears of anything else for long: it has no term.
        /// </summary>
        public ValueTask<Tenure> BeginAsync(string name, string? plan = null) => new(database.Ask(() => new Tenure(
            database.Next(name), database.StateOf(database.IdOf(name)), ServingTerm.Unlimited)));

        public ValueTask<DurableObject> KnownAsync(string name) => new(database.Ask(() => new DurableObject(
            database.GenOf(name), database.StateOf(database.IdOf(name)), null)));

        public ValueTask KeepAsync(string name, string? plan) => default;

        public ValueTask<bool> TryKeepAsync(string name, int gen, string plan) =>
            new(database.Ask(() => database.GenOf(name) == gen));

        public ValueTask<IReadOnlyList<string>> NamesAsync(string prefix) => new([]);

        public ValueTask LeaveAsync(string name, Tenure tenure) => default;
    }
}
