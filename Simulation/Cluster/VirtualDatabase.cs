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
    /// <summary>Share of the transactions under way that had not left a process when it was killed.</summary>
    private const double LostWithProcess = 0.5;

    private readonly RandomChoice _random = new(cluster.Plan.Run.Seed, "database");
    private readonly Dictionary<string, (int Gen, Silo? Owner)> _gens = new(StringComparer.Ordinal);
    private readonly Dictionary<Silo, long> _terms = [];
    private readonly Dictionary<Silo, List<(string Name, int Gen)>> _taken = [];
    private readonly Dictionary<int, int> _gensById = [];
    private readonly Dictionary<int, DeviceState> _devices = [];

    /// <summary>Nothing is answered before this instant.</summary>
    public long DownUntilNs { get; set; }

    public long SlowUntilNs { get; set; }

    /// <summary>Commits of an incarnation that a newer one had replaced.</summary>
    public long Refused { get; private set; }

    public long Commits { get; private set; }

    public DeviceState StateOf(int device) => _devices.GetValueOrDefault(device);

    public int GenOf(string name) => _gens.GetValueOrDefault(name).Gen;

    private bool IsFencing => bug is not PlantedBug.NoFencing && cluster.Plan.Run.IsFenced;

    public ILifecycleLog LogOf(Func<Silo> silo) => new Port(this, silo);

    public IIncarnations IncarnationsOf(Func<Silo> silo) => new Numbers(this, silo);

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
            if (cluster.Time.NowNs < DownUntilNs || IsCut())
            {
                // Whoever asked may be gone by the time; a transaction that was not begun is then never begun.
                Again(Try);
                return;
            }

            // A process gathers what goes into one commit: of what it had not sent yet nobody will hear.
            if (asker.Process is { IsUp: false } && _random.Share() < LostWithProcess)
            {
                return;
            }

            var result = transaction();
            cluster.Time.After(HopNs(), Tell);

            void Tell()
            {
                if (IsCut())
                {
                    Again(Tell);
                    return;
                }

                asker.After(0, () => answer.TrySetResult(result));
            }
        }

        bool IsCut() => asker.Process is { } process && cluster.IsCutFromDatabase(process);

        void Again(Action what) => cluster.Time.After(RandomChoice.Nanoseconds(plan.RetryAfter), () =>
        {
            if (!asker.IsOver)
            {
                what();
            }
        });
    }

    /// <summary>Prolongs the term of a silo.</summary>
    /// <returns>What was taken from it since the last time.</returns>
    public IReadOnlyList<(string Name, int Gen)> Renew(Silo silo)
    {
        _terms[silo] = cluster.NowNs + SiloTerm.LengthNs;
        return _taken.Remove(silo, out var taken) ? taken : [];
    }

    /// <summary>A silo that stops of its own will leaves its objects: nobody waits for it.</summary>
    public void Leave(Silo silo) => _terms.Remove(silo);

    private int IdOf(string name) => cluster.Objects.Intern(name);

    /// <summary>Begins the next incarnation of an object, and says how long the one before it may still
    /// answer.</summary>
    private (int Gen, long WaitNs) Next(string name, Silo silo)
    {
        var (gen, owner) = _gens.GetValueOrDefault(name);
        var next = bug is PlantedBug.NoFencing ? 1 : gen + 1;
        _gens[name] = (next, silo);
        _gensById[cluster.Objects.Intern(name)] = next;
        if (owner is null || ReferenceEquals(owner, silo))
        {
            return (next, 0);
        }

        if (!_taken.TryGetValue(owner, out var taken))
        {
            _taken[owner] = taken = [];
        }

        taken.Add((name, next));
        return (next, Math.Max(0, _terms.GetValueOrDefault(owner) - cluster.NowNs));
    }

    /// <returns>False when a newer incarnation is known: nothing was stored.</returns>
    private bool Store(HistoryEvent[] events)
    {
        var obj = events[0].At.Obj;
        Commits++;
        if (IsFencing && events[0].At.Gen < _gensById.GetValueOrDefault(obj))
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

    private sealed class Numbers(VirtualDatabase database, Func<Silo> silo) : IIncarnations
    {
        public bool IsFencing
        {
            get => silo().Term.IsBinding;
            set => silo().Term.IsBinding = value && database.IsFencing;
        }

        public async ValueTask<Tenure> BeginAsync(string name, KeptPlan? plan = null)
        {
            var at = silo();
            await at.Term.RenewedAsync();
            var ((gen, waitNs), before) = await database.Ask(
                () => (database.Next(name, at), database.StateOf(database.IdOf(name))));
            var tenure = new Tenure(gen, before, at.Term);
            at.Term.Add(name, tenure);
            if (database.IsFencing && waitNs > 0)
            {
                await ((TurnContext)SynchronizationContext.Current!).Delay(waitNs);
            }

            return tenure;
        }

        public ValueTask<DurableObject> KnownAsync(string name) => new(database.Ask(() => new DurableObject(
            database.GenOf(name), database.StateOf(database.IdOf(name)), null)));

        public ValueTask KeepAsync(string name, KeptPlan? plan) => default;

        public ValueTask<bool> TryKeepAsync(string name, int gen, KeptPlan plan) =>
            new(database.Ask(() => database.GenOf(name) == gen));

        public ValueTask<IReadOnlyList<string>> NamesAsync(string prefix) => new([]);

        public ValueTask LeaveAsync(string name, Tenure tenure) => default;
    }
}
