using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;
using Fleet.Client.Cluster;
using Fleet.Client.Load;
using Fleet.Client.Runs;
using Fleet.Client.Scenarios;
using Fleet.Grains;
using Fleet.Kernel.History;
using Fleet.Storage.Results;
using Fleet.Storage.Server;
using static System.FormattableString;

namespace Fleet.Client.Faults;

/// <summary>Lets a run's faults strike real processes while its load lasts, and heals what they did.</summary>
/// <remarks>
/// What strikes when, and whom, is drawn from the seed (<see cref="FaultTape"/>); a strike that finds nobody to strike
/// waits until somebody can be. Whenever the load ends, everything is healed: a paused process goes on, a dead one is
/// replaced, a server is up. Nothing here judges what happened. Concurrency: one task plays the tape, each strike's
/// healing is another.
/// </remarks>
internal sealed class LiveFaults
{
    private static readonly TimeSpan SiloAway = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan SiloPaused = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan StoreAway = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan SlowBy = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan Parted = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Isolated = TimeSpan.FromSeconds(5);

    /// <summary>How long a silo that was let go on may take to find out that it was declared dead.</summary>
    private static readonly TimeSpan EvictionPatience = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan HealPatience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan AskPatience = TimeSpan.FromSeconds(2);

    private readonly ImmutableArray<Fault> _faults;
    private readonly ulong _seed;
    private readonly LocalSilos? _silos;
    private readonly SiloDevices? _devices;
    private readonly DatabaseKills? _database;
    private readonly LocalGenerators? _generators;
    private readonly RecoveryWatch _watch;
    private readonly LoadFleet _fleet;
    private readonly IGrainFactory _grains;
    private readonly Action<string> _said;
    private readonly ConcurrentQueue<FaultRecord> _records = new();
    private readonly ConcurrentQueue<string> _last = new();
    private readonly ConcurrentDictionary<FaultKind, bool> _struckKinds = new();
    private readonly List<Task> _healing = [];
    private long _count;
    private long _beganNs;

    private LiveFaults(
        RunRequest request, ImmutableArray<Fault> faults, IFleetTarget target, RecoveryWatch watch, LoadFleet fleet,
        Action<string> said)
    {
        var silos = (target as ClusterTarget)?.Silos;
        var devices = target is ClusterTarget
            ? new SiloDevices(target.Grains, [.. fleet.Devices.Select(device => device.Key)]) : null;
        _grains = target.Grains;
        (_faults, _seed, _silos, _devices, _watch) = (faults, request.Scenario.Seed, silos, devices, watch);
        (_fleet, _said, Counts) = (fleet, said, new(fleet));
        _database = PrivateServer.Behind(request.Store) is { } server ? new(server, said) : null;
        _generators = faults.Any(fault => fault.Kind is FaultKind.GeneratorKill) && !request.IsResumed
            ? new(request.Name, request.Store, said) : null;
    }

    /// <summary>Generators beside the first, where a fault of the run strikes them; null where others start
    /// them.</summary>
    public LocalGenerators? Generators => _generators;

    /// <summary>What struck and how it ended, in the order of the strikes.</summary>
    public IReadOnlyList<FaultRecord> Records => [.. _records.OrderBy(record => record.TimeNs)];

    public IReadOnlyList<Recovery> Recoveries => _watch.All;

    /// <summary>When the load began.</summary>
    public long BeganNs => _beganNs;

    /// <summary>Silos that ended though nothing had struck them.</summary>
    public IReadOnlyList<string> Unstruck => _silos?.EndedUnstruck ?? [];

    /// <summary>What the strikes so far may have caused.</summary>
    public IReadOnlySet<string> Expected => _faults
        .Where(fault => _struckKinds.ContainsKey(fault.Kind) || fault.Kind is FaultKind.Message)
        .SelectMany(fault => fault.Expect).ToHashSet(StringComparer.Ordinal);

    /// <summary>Strikes so far, with the last one.</summary>
    public (long Count, string Last) Struck => (Interlocked.Read(ref _count), _last.LastOrDefault() ?? "");

    /// <summary>What the strikes on silos met.</summary>
    public StrikeCounts Counts { get; }

    /// <summary>Binds and unbinds that are under way in the load.</summary>
    public Func<IEnumerable<OpenTicket>> OpenTickets { get; set; } = static () => [];

    /// <summary>Which links of a scenario's silos its faults strike.</summary>
    public static ProxiedLinks ProxiedBy(Scenario scenario)
    {
        var kinds = scenario.Faults.Select(fault => fault.Kind).ToHashSet();
        return (kinds.Overlaps([FaultKind.DbSlow, FaultKind.DbCut, FaultKind.Isolate])
                ? ProxiedLinks.Store : ProxiedLinks.None)
            | (kinds.Overlaps([FaultKind.Partition, FaultKind.Isolate]) ? ProxiedLinks.Peers : ProxiedLinks.None);
    }

    /// <returns>Null where the scenario has no fault that strikes from outside the model.</returns>
    public static LiveFaults? Of(
        RunRequest request, IFleetTarget target, RecoveryWatch watch, LoadFleet fleet, Action<string> said)
    {
        ImmutableArray<Fault> live = [.. request.Scenario.Faults.Where(fault => fault.Kind is not FaultKind.Inject)];
        return live.IsEmpty ? null : new(request, live, target, watch, fleet, said);
    }

    /// <summary>Strikes as the tape says until the load is over, then heals.</summary>
    /// <exception cref="Storage.StorageException">A server did not come up again.</exception>
    public async Task RunAsync(CancellationToken over)
    {
        _beganNs = MonotonicNs.Now;
        using var healed = new CancellationTokenSource();
        var supervising = _silos?.SuperviseAsync(healed.Token) ?? Task.CompletedTask;
        try
        {
            foreach (var strike in FaultTape.Of(_faults, _seed))
            {
                if (!await PauseAsync(strike.Due - Passed, over))
                    break;
                await StrikeAsync(strike, _faults[strike.Fault], over);
            }

            await PauseAsync(Timeout.InfiniteTimeSpan, over);
        }
        finally
        {
            await Task.WhenAll(_healing);
            if (_silos is not null && !await _silos.AwaitServingAsync(HealPatience))
                _said("faults: not every silo serves again; what follows shows it.");
            await healed.CancelAsync();
            await supervising;
        }
    }

    private TimeSpan Passed => TimeSpan.FromMicroseconds((MonotonicNs.Now - _beganNs) / 1000);

    private async Task StrikeAsync(Strike strike, Fault fault, CancellationToken over)
    {
        _struckKinds[fault.Kind] = true;
        switch (fault.Kind)
        {
            case FaultKind.SiloKill:
                await StrikeSiloAsync(strike, fault, KillAsync, over);
                break;
            case FaultKind.SiloPause:
                await StrikeSiloAsync(strike, fault, PauseSiloAsync, over);
                break;
            case FaultKind.SiloRestart when fault.Target == "rolling":
                await RollAsync(fault, over);
                break;
            case FaultKind.SiloRestart:
                await StrikeSiloAsync(strike, fault, RestartAsync, over);
                break;
            case FaultKind.DbKill when _database is not null:
                Began("db-kill");
                _healing.Add(Then(_database.KillAsync(fault, over)));
                break;
            case FaultKind.GeneratorKill:
                await StrikeGeneratorAsync(strike, fault, over);
                break;
            case FaultKind.DbSlow or FaultKind.DbCut:
                await StrikeStoresAsync(strike, fault, over);
                break;
            case FaultKind.SurpriseRemove:
                Remove(strike, fault, over);
                break;
            case FaultKind.Isolate:
                await StrikeSiloAsync(strike, fault, IsolateAsync, over);
                break;
            case FaultKind.Partition:
                await PartitionAsync(strike, fault, over);
                break;
            default:
                throw new InvalidOperationException($"A fault of kind {fault.Kind} was let through.");
        }
    }

    private async Task StrikeGeneratorAsync(Strike strike, Fault fault, CancellationToken over)
    {
        while (_generators is not null && !over.IsCancellationRequested)
        {
            if (_generators.Choose(strike, fault) is { } place)
            {
                Began(Invariant($"generator-kill of generator {place.Number}"));
                _healing.Add(Then(_generators.KillAsync(place, fault, over)));
                return;
            }

            await PauseAsync(Look, over);
        }
    }

    private async Task StrikeSiloAsync(
        Strike strike, Fault fault, Func<LocalSilo, Fault, Recovery, CancellationToken, Task<FaultRecord>> act,
        CancellationToken over)
    {
        if (await ChooseAsync(strike, fault, over) is { } silo)
            await StrikeSiloAsync(silo, fault, act, over);
    }

    /// <summary>Waits until one that serves can be struck while another one goes on serving: a fleet without any is
    /// not what is tried.</summary>
    /// <returns>Null when the load was over first.</returns>
    private async Task<LocalSilo?> ChooseAsync(Strike strike, Fault fault, CancellationToken over)
    {
        while (!over.IsCancellationRequested)
        {
            var serving = await _silos!.ServingAsync();
            var targets = int.TryParse(fault.Target, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
                ? [.. serving.Where(silo => silo.Number == number)] : serving;
            if (serving.Count > 1 && targets.Count > 0)
                return targets[strike.Among(targets.Count)];

            await PauseAsync(Look, over);
        }

        return null;
    }

    private async Task<Task> StrikeSiloAsync(
        LocalSilo silo, Fault fault, Func<LocalSilo, Fault, Recovery, CancellationToken, Task<FaultRecord>> act,
        CancellationToken over)
    {
        var isWhole = (await _silos!.ServingAsync()).Count == _silos.All.Count;
        silo.IsStruck = true;
        var kind = Word(fault.Kind);
        var address = await _silos.AddressOfAsync(silo);
        var devices = address is null ? [] : await _devices!.OnAsync(address, AskPatience);
        Counts.Count(fault.Kind, devices, OpenTickets());
        var recovery = _watch.Begin(kind, silo.Name, isWhole, devices);
        Began($"{kind} of {silo.Name}");
        var healing = Then(act(silo, fault, recovery, over));
        _healing.Add(healing);
        return healing;
    }

    private async Task<FaultRecord> KillAsync(
        LocalSilo silo, Fault fault, Recovery recovery, CancellationToken over)
    {
        var (name, pid) = (silo.Name, silo.Process.Pid);
        await LocalSilos.KillAsync(silo);
        recovery.Gone(MonotonicNs.Now);
        await PauseAsync(fault.For ?? SiloAway, over);
        Free(silo, hasEnded: true);
        return RecordOf(recovery, fault, name, $"process {pid} killed; {recovery.Devices} devices were on it");
    }

    private async Task<FaultRecord> PauseSiloAsync(
        LocalSilo silo, Fault fault, Recovery recovery, CancellationToken over)
    {
        var (name, pid) = (silo.Name, silo.Process.Pid);
        _silos!.Pause(silo);
        await PauseAsync(fault.For ?? SiloPaused, over);
        var resumedNs = MonotonicNs.Now;
        _silos!.Resume(silo);
        var isEvicted = await ExitedWithinAsync(silo, EvictionPatience);
        var endedNs = MonotonicNs.Now;
        recovery.Gone(isEvicted ? endedNs : resumedNs);
        Free(silo, isEvicted);
        return RecordOf(
            recovery, fault, name,
            Invariant($"process {pid} stopped for {(resumedNs - recovery.StrikeNs) / 1e9:0.0} s; ")
            + Invariant($"{recovery.Devices} devices ")
            + (isEvicted
                ? Invariant($"were on it; let go on, it ended after {(endedNs - resumedNs) / 1_000_000} ms")
                : "are on it; it is a member still"));
    }

    private async Task<FaultRecord> RestartAsync(
        LocalSilo silo, Fault fault, Recovery recovery, CancellationToken over)
    {
        var (name, pid) = (silo.Name, silo.Process.Pid);
        await silo.Process.LeaveAsync();
        var leftNs = MonotonicNs.Now;
        recovery.Gone(leftNs);
        await PauseAsync(fault.For ?? TimeSpan.Zero, over);
        Free(silo, hasEnded: true);
        return RecordOf(
            recovery, fault, name,
            Invariant($"process {pid} told to leave, gone after {(leftNs - recovery.StrikeNs) / 1_000_000} ms; ")
            + Invariant($"{recovery.Devices} devices were on it"));
    }

    /// <summary>Restarts one silo after another, each once the one before it serves again.</summary>
    private async Task RollAsync(Fault fault, CancellationToken over)
    {
        LocalSilo? before = null;
        foreach (var silo in _silos!.All)
        {
            while (!over.IsCancellationRequested
                && (await _silos.ServingAsync() is not { Count: > 1 } serving || !serving.Contains(silo)
                    || (before is not null && !serving.Contains(before))))
                await PauseAsync(Look, over);
            if (over.IsCancellationRequested)
                return;
            await await StrikeSiloAsync(silo, fault, RestartAsync, over);
            before = silo;
        }
    }

    /// <summary>Slows or cuts the way to the database, for one silo or for all of them.</summary>
    private async Task StrikeStoresAsync(Strike strike, Fault fault, CancellationToken over)
    {
        IReadOnlyList<LocalSilo> silos = fault.Target is null or "all" ? _silos!.All
            : await ChooseAsync(strike, fault, over) is { } one ? [one] : [];
        if (silos.Count > 0)
        {
            Began($"{Word(fault.Kind)} of {NamesOf(silos)}");
            _healing.Add(Then(StoresAsync(silos, fault, over)));
        }
    }

    private async Task<FaultRecord> StoresAsync(
        IReadOnlyList<LocalSilo> silos, Fault fault, CancellationToken over)
    {
        var (atNs, names) = (MonotonicNs.Now, NamesOf(silos));
        var isCut = fault.Kind is FaultKind.DbCut;
        foreach (var silo in silos)
        {
            var proxy = _silos!.StoreOf(silo);
            if (isCut)
                proxy.Set(Passage.Cut);
            else
                proxy.Delay = SlowBy;
        }

        await PauseAsync(fault.For ?? StoreAway, over);
        foreach (var silo in silos)
        {
            _silos!.StoreOf(silo).Set(Passage.Open);
            _silos.StoreOf(silo).Delay = TimeSpan.Zero;
        }

        var forMs = (MonotonicNs.Now - atNs) / 1_000_000;
        return new(
            atNs, Word(fault.Kind), names, string.Join(' ', fault.Expect),
            isCut ? Invariant($"no way to the database for {forMs} ms")
                : Invariant($"each piece {SlowBy.TotalMilliseconds:0} ms late for {forMs} ms"));
    }

    private void Remove(Strike strike, Fault fault, CancellationToken over)
    {
        var devices = _fleet.Devices;
        var hosts = _fleet.Hosts;
        var host = fault.Target is "host" ? hosts[strike.Among(hosts.Length)]
            : hosts.FirstOrDefault(one => one.Name == fault.Target);
        var place = devices.ToList().FindIndex(device => device.Key == fault.Target);
        place = place < 0 ? strike.Among(devices.Length) : place;
        var removed = host is null ? [place] : host.Devices.Select(one => devices.IndexOf(one)).ToList();
        var recovery = _watch.Begin(Word(fault.Kind), host?.Name ?? devices[place].Key, isWhole: true, removed);
        Began($"surprise-remove of {recovery.Silo}");
        _healing.Add(Then(RemoveAsync(
            recovery, fault,
            async () =>
            {
                if (host is not null)
                {
                    await _grains.GetGrain<IHostGrain>(host.Name).Remove(0);
                    return;
                }

                var grain = _grains.GetGrain<IPciDeviceGrain>(devices[place].Key);
                for (var ticket = await grain.Remove(0); !ticket.IsDone;)
                    ticket = await grain.AwaitTicket(ticket.Ticket);
            },
            over)));
    }

    /// <summary>Pulls until it is out: a call that is lost is made again, and a device that is out already stays
    /// so.</summary>
    private static async Task<FaultRecord> RemoveAsync(
        Recovery recovery, Fault fault, Func<Task> pull, CancellationToken over)
    {
        var calls = 1;
        for (; ; calls++)
        {
            try
            {
                await pull();
                break;
            }
            catch (Exception e) when (LostCall.Is(e, over))
            {
                if (!await PauseAsync(Look, over))
                    break;
            }
        }

        return RecordOf(
            recovery, fault, recovery.Silo,
            Invariant($"{recovery.Devices} device(s) pulled out after ")
            + Invariant($"{(MonotonicNs.Now - recovery.StrikeNs) / 1_000_000} ms, {calls} call(s)"));
    }

    /// <summary>Parts two silos, or one from all others; clients reach all of them.</summary>
    private async Task PartitionAsync(Strike strike, Fault fault, CancellationToken over)
    {
        if (await ChooseAsync(strike, fault, over) is not { } silo)
            return;

        var others = (await _silos!.ServingAsync()).Where(other => other != silo).ToList();
        if (others.Count == 0)
            return;

        // A numbered silo is parted from all; a random one from the next of those that serve.
        IReadOnlyList<LocalSilo> apart = fault.Target is null or "random"
            ? [others.FirstOrDefault(other => other.Number > silo.Number) ?? others[0]] : others;
        Began($"partition between {silo.Name} and {NamesOf(apart)}");
        _healing.Add(Then(PartAsync(silo, apart, fault, over)));
    }

    /// <summary>Takes everything from a silo but its clients, for some time after others took its devices: both sides
    /// then believe that they serve.</summary>
    private async Task<FaultRecord> IsolateAsync(
        LocalSilo silo, Fault fault, Recovery recovery, CancellationToken over)
    {
        var (name, pid, before) = (silo.Name, silo.Process.Pid, await _silos!.RebornAsync());
        IReadOnlyList<LocalSilo> others = [.. _silos.All.Where(other => other != silo)];
        IReadOnlyList<PeerProxies> proxies = [silo.Peers!, .. others.Select(other => other.Peers!)];
        silo.Peers!.CutOffFrom(others.Select(other => other.Process.Pid).ToHashSet());
        foreach (var other in others)
            other.Peers!.CutOffFrom(new HashSet<int> { pid });
        _silos.StoreOf(silo).Set(Passage.Cut);
        var taken = 0L;
        do
            taken = await _silos.RebornAsync() - before;
        while (taken < Math.Max(1, recovery.Devices) && await PauseAsync(Look, over));

        var takenNs = MonotonicNs.Now;
        await PauseAsync(fault.For ?? Isolated, over);
        foreach (var proxy in proxies)
            proxy.Heal();
        _silos.StoreOf(silo).Set(Passage.Open);
        var healedNs = MonotonicNs.Now;
        var isEvicted = await ExitedWithinAsync(silo, HealPatience);
        recovery.Gone(MonotonicNs.Now);
        Free(silo, isEvicted);
        return RecordOf(
            recovery, fault, name,
            Invariant($"process {pid} reached by clients only; {recovery.Devices} devices were on it, ")
            + Invariant($"{taken} objects were taken by others after {(takenNs - recovery.StrikeNs) / 1_000_000} ms; ")
            + Invariant($"healed {(healedNs - takenNs) / 1_000_000} ms later, ")
            + (isEvicted ? Invariant($"ended after {(MonotonicNs.Now - healedNs) / 1_000_000} ms") : "a member still"));
    }

    private static async Task<FaultRecord> PartAsync(
        LocalSilo silo, IReadOnlyList<LocalSilo> apart, Fault fault, CancellationToken over)
    {
        var (atNs, names) = (MonotonicNs.Now, $"{silo.Name} and {NamesOf(apart)}");
        IReadOnlyList<PeerProxies> proxies = [silo.Peers!, .. apart.Select(other => other.Peers!)];
        silo.Peers!.CutOffFrom(apart.Select(other => other.Process.Pid).ToHashSet());
        foreach (var other in apart)
            other.Peers!.CutOffFrom(new HashSet<int> { silo.Process.Pid });
        await PauseAsync(fault.For ?? Parted, over);
        foreach (var proxy in proxies)
            proxy.Heal();
        return new(
            atNs, "partition", names, string.Join(' ', fault.Expect),
            Invariant($"nothing passed between them for {(MonotonicNs.Now - atNs) / 1_000_000} ms"));
    }

    private static string NamesOf(IEnumerable<LocalSilo> silos) => string.Join(", ", silos.Select(silo => silo.Name));

    /// <summary>From here on the silo may be struck again, or whatever took the place of one that ended.</summary>
    private void Free(LocalSilo silo, bool hasEnded)
    {
        if (hasEnded)
            _silos!.Replace(silo);
        silo.IsStruck = false;
    }

    private void Began(string what)
    {
        Interlocked.Increment(ref _count);
        _last.Enqueue(what);
        _said(string.Create(CultureInfo.InvariantCulture, $"fault {_count} at {Passed.TotalSeconds:0.0} s: {what}"));
    }

    private async Task Then(Task<FaultRecord> strike) => _records.Enqueue(await strike);

    private static async Task<bool> ExitedWithinAsync(LocalSilo silo, TimeSpan patience)
    {
        using var timer = new CancellationTokenSource(patience);
        try
        {
            await silo.Process.WaitForExitAsync(timer.Token);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private static FaultRecord RecordOf(Recovery recovery, Fault fault, string target, string text) =>
        new(recovery.StrikeNs, recovery.Kind, target, string.Join(' ', fault.Expect), text);

    /// <returns>False when the load was over first.</returns>
    internal static async Task<bool> PauseAsync(TimeSpan pause, CancellationToken over)
    {
        try
        {
            await Task.Delay(
                pause > TimeSpan.Zero || pause == Timeout.InfiniteTimeSpan ? pause : TimeSpan.Zero, over);
            return !over.IsCancellationRequested;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private static string Word(FaultKind kind) => RunSupport.Word(kind.ToString());
}
