using Fleet.Client.Scenarios;
using Fleet.Kernel.History;
using Fleet.Storage.Spool;

namespace Fleet.Client.Load;

/// <summary>Where an earlier process of the same share stopped.</summary>
/// <param name="Elapsed">Of the load's own time.</param>
/// <param name="Steps">By place in the share: operations of the schedule that each client had begun.</param>
/// <param name="Times">How often the share was begun before.</param>
/// <param name="IsOver">Nothing was due any more.</param>
public sealed record LoadBefore(TimeSpan Elapsed, IReadOnlyList<long> Steps, int Times, bool IsOver);

/// <param name="Due">Operations of the schedule in the phase; 0 in a closed loop.</param>
/// <param name="Sent">Those of them that were sent.</param>
public sealed record PhaseCount(string Phase, long Due, long Sent);

/// <summary>Why operations of an open load were sent late, of one generator.</summary>
/// <param name="WokenLateP99Ms">How late the thread came that wakes who is due: the machine's doing, or a pause of the
/// garbage collector.</param>
/// <param name="BusyShare">Of all operations, those whose client still waited for its last answer when they were due:
/// the fleet's doing, or what follows from having come late before.</param>
public sealed record Punctuality(double WokenLateP99Ms, double WokenLateMaxMs, double BusyShare);

/// <summary>Runs the load of one scenario from one process: clients, unbinds, phases.</summary>
/// <remarks>Order of calls: <see cref="RunAsync"/>, <see cref="AwaitTicketsAsync"/> as often as wanted, then
/// dispose.</remarks>
public sealed class LoadGenerator : IAsyncDisposable
{
    /// <summary>Where a scenario has no drain phase.</summary>
    private static readonly TimeSpan DrainDefault = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan TicketLook = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan StandInterval = TimeSpan.FromMilliseconds(100);

    private readonly Scenario _scenario;
    private readonly LoadFleet _fleet;
    private readonly SpoolWriter _spool;
    private readonly DeadlineWatch _watch = new();
    private readonly int _session;
    private readonly int _sessionNumber;
    private readonly string _name;
    private readonly IFleetPort _port;
    private readonly UnbindOperators _unbinds;
    private readonly SentFile _asked;
    private IReadOnlyList<LoadClient> _clients = [];
    private ArrivalSchedule? _schedule;
    private ArrivalPacer? _pacer;
    private bool _hasBegun;
    private bool _hasGivenUp;
    private int _clientsMax;

    /// <param name="name">Of the generator, unique in the run: clients are <c>client:NAME-…</c>.</param>
    /// <param name="session">Name of its session, as an object of the history.</param>
    /// <param name="sessionNumber">Number of its session in the run, as requests carry it.</param>
    public LoadGenerator(
        Scenario scenario, LoadFleet fleet, IFleetPort port, SpoolWriter spool, string name, string session,
            int sessionNumber)
    {
        (_scenario, _fleet, _port, _spool, _name) = (scenario, fleet, port, spool, name);
        _session = spool.Objects.Intern(session);
        _sessionNumber = sessionNumber;
        var devices = WeightedSampler.Of(scenario.Load.Devices, fleet.Devices.Length);
        _asked = SentFile.Create(spool.Options.Directory, scenario.Load.Clients + UnbindOperators.OperatorsMax);
        _unbinds = new(
            scenario.Unbind, port, fleet, Counters, Latency, spool, devices, _asked, scenario.Load.Clients,
            index => spool.OpenClient(spool.Objects.Intern($"client:{name}-operator-{index}"), _session));
        DeviceSampler = devices;
    }

    /// <summary>Of all clients of the scenario, the share of this generator: its place from 0, and how many there
    /// are.</summary>
    public (int Place, int Of) Share { get; init; } = (0, 1);

    /// <summary>Where an earlier process of the share stopped; null where this one is the first.</summary>
    public LoadBefore? Before { get; init; }

    /// <summary>What was due and sent in each phase before the drain, once that was reached.</summary>
    public IReadOnlyList<PhaseCount> Phases { get; private set; } = [];

    public TimeSpan TicketPatience => _scenario.Unbind.Patience;

    public LoadCounters Counters { get; } = new();

    public LatencyRecorder Latency { get; } = new();

    public LoadClock Clock { get; } = new();

    public int TicketsOpen => _unbinds.Running;

    public IReadOnlyCollection<StuckTicket> Stuck => _unbinds.Stuck;

    /// <summary>Binds and unbinds that are under way, the longest first.</summary>
    public IEnumerable<OpenTicket> OpenTickets => _unbinds.Open;

    /// <summary>Since the first phase began, without pauses; stands still once the load drains.</summary>
    public TimeSpan Elapsed => !_hasBegun ? TimeSpan.Zero
        : SendingTime > TimeSpan.Zero ? SendingTime
        : Clock.Elapsed;

    /// <summary>Share of what was due until now that was sent; null in a closed loop.</summary>
    public double? AchievedShare => Achieved.Due > 0 ? (double)Achieved.Sent / Achieved.Due
        : _schedule?.OperationsBy(Elapsed) / Share.Of is { } due and >= 1
            ? Math.Min(1, _clients.Sum(client => client.Sent) / due)
        : null;

    /// <summary>Operations that are due by now; null in a closed loop.</summary>
    public double? DueSoFar => _schedule?.OperationsBy(Elapsed);

    /// <summary>Operations per second that are due now; null in a closed loop.</summary>
    public double? DuePerSecond => _schedule?.RateAt(Elapsed);

    /// <summary>How late the process's timers came at worst: above some tens of milliseconds its latencies say
    /// little.</summary>
    public TimeSpan TimerLagMax => _watch.LagMax;

    /// <summary>Null in a closed loop, and before the load is over.</summary>
    public Punctuality? Punctuality { get; private set; }

    /// <summary>From the first phase's begin to the drain's, once that was reached.</summary>
    public TimeSpan SendingTime { get; private set; }

    /// <summary>Operations that were due, and those of them that were sent; both 0 in a closed loop.</summary>
    public (long Due, long Sent) Achieved { get; private set; }

    /// <summary>True once every client ended with nothing in its hands.</summary>
    public bool IsDrained { get; private set; }

    private WeightedSampler DeviceSampler { get; }

    /// <summary>Unbinds devices whose bind failed when the fleet was built, and tries again.</summary>
    public void TryAgain(IEnumerable<int> devices)
    {
        foreach (var device in devices)
            _unbinds.TryAgain(device);
    }

    /// <summary>Lets fewer clients of a closed load send, over all generators; 0 for as many as the phase
    /// says.</summary>
    public void Limit(int clientsMax)
    {
        if (clientsMax == _clientsMax)
            return;

        _clientsMax = clientsMax;
        var share = _scenario.Phases.FirstOrDefault(phase => phase.Name == Clock.Current.Phase)?.RateShare ?? 0;
        Clock.Change(old => old.IsDraining ? old : old with { ClientsActive = Active(share) });
    }

    /// <summary>Lets the schedule of an open load go faster or slower; 0 for as it is.</summary>
    public void SetSpeed(double speed)
    {
        var wanted = speed <= 0 ? 1 : speed;
        if (wanted != Clock.Current.Speed)
            Clock.SetSpeed(wanted);
    }

    /// <summary>Adds what an earlier process of the share did, as it is stored.</summary>
    public void AddBefore(LoadCounters counters, LatencyRecorder latency)
    {
        foreach (var (kind, outcome, count) in counters.All())
            Counters.Add(kind, outcome, count);
        foreach (var kind in Enum.GetValues<OperationKind>())
        {
            foreach (var (errno, count) in counters.ErrorsOf(kind))
                Counters.Add(kind, errno, count);
        }

        foreach (var (metric, of, histogram) in latency.All())
            Latency.Merge(metric, of, histogram);
    }

    /// <summary>Adds what another generator of the run did in each phase.</summary>
    public void AddPhases(IEnumerable<PhaseCount> phases) => Phases =
    [
        .. Phases.Zip(phases, (own, other) => own with { Due = own.Due + other.Due, Sent = own.Sent + other.Sent }),
    ];

    /// <summary>Adds what another generator of the run was due to send and sent.</summary>
    public void AddAchieved(long due, long sent, bool isDrained)
    {
        Achieved = (Achieved.Due + due, Achieved.Sent + sent);
        IsDrained &= isDrained;
    }

    /// <summary>Runs the phases, then drains.</summary>
    /// <param name="stop">Ends the phases early; what was begun is drained all the same.</param>
    public async Task RunAsync(CancellationToken stop)
    {
        OpenClients();
        Clock.Begin(Before?.Elapsed ?? TimeSpan.Zero);
        _hasBegun = true;
        using var over = new CancellationTokenSource();
        var standing = StandAsync(over.Token);
        try
        {
            await SendAsync(stop);
        }
        finally
        {
            await over.CancelAsync();
            await standing;
        }

        Stand(isOver: true);
    }

    private void OpenClients()
    {
        _schedule = _scenario.Load.Arrival is Arrival.Open open
            ? new ArrivalSchedule(open.Rate, _scenario.Phases, _scenario.Seed)
            : null;
        var context = new LoadContext(
            _scenario.Load, _port, _fleet, Clock, Counters, Latency, _watch, _spool, DeviceSampler,
            new(_scenario.Load.SizeBytes), _unbinds, _schedule)
        {
            Asked = _asked,
            Share = Share,
            Pacer = _pacer = _schedule is null ? null : new(Clock),
        };

        // What an earlier process drew is not drawn again; the schedule has its own stream, which goes on.
        var seed = unchecked(_scenario.Seed + ((ulong)(Before?.Times ?? 0) << 32));
        _clients =
        [
            .. Enumerable.Range(0, _scenario.Load.Clients).Where(index => index % Share.Of == Share.Place)
                .Select(index => new LoadClient(
                    context,
                    index,
                    seed,
                    _spool.OpenClient(_spool.Objects.Intern($"client:{_name}-{index + 1}"), _session),
                    _sessionNumber)),
        ];
        for (var place = 0; place < _clients.Count && Before is not null; place++)
            _clients[place].Continue(Before.Steps[place]);
    }

    private async Task SendAsync(CancellationToken stop)
    {
        var clients = _clients;
        using var abandon = new CancellationTokenSource();
        var running = clients.Select(client => Task.Run(() => client.RunAsync(abandon.Token), CancellationToken.None))
            .ToList();
        var all = Task.WhenAll(running);
        var ended = Before is { IsOver: true } ? 0 : await EnterPhasesAsync(all, stop);
        SendingTime = Clock.Elapsed;
        _unbinds.Drain();
        Clock.Drain(Phase.Drain, ended);
        var drain = _scenario.Phases.Where(phase => phase.Name == Phase.Drain).Select(phase => phase.For)
            .DefaultIfEmpty(DrainDefault).First();
        IsDrained = await Task.WhenAny(all, Task.Delay(drain, CancellationToken.None)) == all;
        await abandon.CancelAsync();
        await all;

        // The last client may have ended in the pacer's thread, which has nothing more to do.
        await Task.Yield();
        var sent = clients.Sum(client => client.Sent);
        var missed = clients.Sum(client => client.Arrivals?.SkipUntil(SendingTime) ?? 0);
        Achieved = _schedule is null ? default : (sent + missed, sent);
        Phases = [.. PhasesOf(clients)];
        Punctuality = _pacer is null
            ? null
            : new(
                LatencyRecorder.PercentileMs(_pacer.Late, 99) ?? 0, LatencyRecorder.PercentileMs(_pacer.Late, 100) ?? 0,
                (double)clients.Sum(client => client.DueWhileBusy) / Math.Max(1, sent));
        foreach (var client in clients)
            client.Dispose();
    }

    /// <summary>Says how far the load is, so that a process that is killed can be followed by another.</summary>
    private async Task StandAsync(CancellationToken over)
    {
        using var timer = new PeriodicTimer(StandInterval);
        Stand(isOver: false);
        try
        {
            while (await timer.WaitForNextTickAsync(over))
                Stand(isOver: Clock.Current.IsDraining);
        }
        catch (OperationCanceledException)
        {
            return;
        }
    }

    private void Stand(bool isOver) => _asked.Stand(new(Elapsed.Ticks * 100, MonotonicNs.Now, isOver));

    /// <summary>Counts what each phase was due to send, and what was sent: of each client the first ones.</summary>
    private IEnumerable<PhaseCount> PhasesOf(IReadOnlyList<LoadClient> clients)
    {
        var end = TimeSpan.Zero;
        var (dueBefore, sentBefore) = (0L, 0L);
        foreach (var phase in _scenario.Phases.Where(phase => phase.Name != Phase.Drain))
        {
            if (_schedule is null)
                yield break;

            end += phase.For;
            var due = clients.Select(client => _schedule.CountOf(client.Index, _scenario.Load.Clients, end)).ToList();
            var sent = due.Zip(clients, (count, client) => Math.Min(count, client.Sent)).Sum();
            yield return new(phase.Name, due.Sum() - dueBefore, sent - sentBefore);
            (dueBefore, sentBefore) = (due.Sum(), sent);
        }
    }

    /// <summary>Waits until no ticket is open, or none ended for as long as patience lasts.</summary>
    /// <returns>True when none is open.</returns>
    public async Task<bool> AwaitTicketsAsync(TimeSpan patience)
    {
        var from = MonotonicNs.Now;
        while (_unbinds.Running > 0)
        {
            var last = Math.Max(from, _unbinds.LastEndedNs);
            if (MonotonicNs.Now - last > patience.Ticks * 100)
                return false;

            await Task.Delay(TicketLook, CancellationToken.None);
        }

        return true;
    }

    /// <summary>Ends every wait that is left: its outcome stays unknown.</summary>
    /// <param name="lastAnswers">How long the polls that are out may take to come back, so that none outlives its
    /// fleet.</param>
    public async Task GiveUpAsync(TimeSpan lastAnswers)
    {
        _hasGivenUp = true;
        await _unbinds.GiveUpAsync(lastAnswers);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_hasGivenUp)
            await GiveUpAsync(TimeSpan.Zero);
        _pacer?.Dispose();
        await _watch.DisposeAsync();
        _asked.Dispose();
    }

    /// <returns>Load time at which the last phase ended; 0 where the load was ended early.</returns>
    private async Task<long> EnterPhasesAsync(Task all, CancellationToken stop)
    {
        var ends = 0L;
        foreach (var phase in _scenario.Phases.Where(phase => phase.Name != Phase.Drain))
        {
            ends += phase.For.Ticks * 100;
            Clock.Enter(phase.Name, Active(phase.RateShare), ends);
            while (Clock.Current is var state && (state.IsPaused || state.EndsNs > MonotonicNs.Now))
            {
                var left = TimeSpan.FromMicroseconds(Math.Max(0, state.EndsNs - MonotonicNs.Now) / 1000.0);
                var end = Task.Delay(state.IsPaused ? Timeout.InfiniteTimeSpan : left, stop);
                await Task.WhenAny(end, state.Ended, all);
                if (stop.IsCancellationRequested || all.IsCompleted)
                    return 0;
            }
        }

        return ends;
    }

    private int Active(double share)
    {
        var active = (int)Math.Ceiling(Math.Min(1, share) * _scenario.Load.Clients);
        return _clientsMax > 0 ? Math.Min(active, _clientsMax) : active;
    }
}
