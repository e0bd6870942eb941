using System.Globalization;
using Fleet.Client.Runs;
using Fleet.Silo.Cluster;
using Fleet.Storage;
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;

namespace Fleet.Client.Faults;

/// <summary>The silos of a run in processes that it started: whatever ends one of them, another takes its
/// place.</summary>
/// <remarks>
/// Only processes started here are ever signalled. Disposing leaves none behind, paused ones included. Concurrency: any
/// thread.
/// </remarks>
/// <param name="proxied">What has to go through proxies, since faults of the run strike there.</param>
internal sealed class LocalSilos(
    PostgresCluster cluster, string name, StoreAddress store, ProxiedLinks proxied, Action<string> said)
    : IAsyncDisposable
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    private readonly Lock _gate = new();
    private readonly List<LocalSilo> _silos = [];
    private readonly List<string> _ended = [];
    private readonly List<Task> _leaving = [];
    private readonly PauseGuard _guard = new();
    private readonly StoreProxies? _stores =
        proxied.HasFlag(ProxiedLinks.Store) ? new StoreProxies(store) : null;

    /// <summary>Every place, whether its silo serves or not.</summary>
    public IReadOnlyList<LocalSilo> All
    {
        get
        {
            lock (_gate)
                return [.. _silos];
        }
    }

    /// <summary>Silos that ended though nothing had struck them.</summary>
    public IReadOnlyList<string> EndedUnstruck
    {
        get
        {
            lock (_gate)
                return [.. _ended];
        }
    }

    /// <summary>Silos whose processes ended and have no successor.</summary>
    public IReadOnlyList<string> Gone => [.. All.Where(silo => silo.Process.HasExited).Select(silo => silo.Name)];

    /// <summary>Between a silo's place and the database.</summary>
    public TcpProxy StoreOf(LocalSilo silo) => _stores![silo.Number];

    /// <param name="generation">Above 1 where earlier processes of the run had the places.</param>
    public void Start(int count, int generation)
    {
        for (var number = 1; number <= count; number++)
        {
            var peers = PeersOf();
            var silo = new LocalSilo(number, StartProcess(number, NameOf(number, generation), peers), peers)
            {
                Generation = generation,
            };
            lock (_gate)
                _silos.Add(silo);
        }
    }

    /// <exception cref="StorageException">A silo ended before it served.</exception>
    public void DemandRunning()
    {
        if (All.FirstOrDefault(silo => silo.Process.HasExited) is { } gone)
            throw new StorageException($"The process of {gone.Name} ended before it served.");
    }

    /// <summary>Returns the silos whose processes run and are members, in the order of their numbers.</summary>
    public async Task<IReadOnlyList<LocalSilo>> ServingAsync()
    {
        var active = (await cluster.MembersAsync()).Where(member => member.IsActive)
            .Select(member => member.Name).ToHashSet(StringComparer.Ordinal);
        return [.. All.Where(silo => silo is { IsStruck: false, IsPaused: false, Process.HasExited: false }
            && active.Contains(silo.Name))];
    }

    /// <returns>Null where the silo is no member any more, or the store does not answer.</returns>
    public async Task<string?> AddressOfAsync(LocalSilo silo) =>
        (await cluster.MembersAsync()).FirstOrDefault(member => member.IsActive && member.Name == silo.Name).Address;

    /// <summary>Returns how many objects of the run have begun another incarnation.</summary>
    public async Task<long> RebornAsync() => (await cluster.IncarnationsAsync(name, CancellationToken.None)).Reborn;

    /// <summary>Ends a silo at once; returns when its process is gone.</summary>
    public static async Task KillAsync(LocalSilo silo)
    {
        ProcessSignal.Kill(silo.Process.Pid);
        await silo.Process.WaitForExitAsync(CancellationToken.None);
    }

    public void Pause(LocalSilo silo)
    {
        silo.IsPaused = true;
        _guard.Add(silo.Process.Pid);
        ProcessSignal.Pause(silo.Process.Pid);
    }

    public void Resume(LocalSilo silo)
    {
        if (silo.IsPaused && !silo.Process.HasExited)
            ProcessSignal.Resume(silo.Process.Pid);
        silo.IsPaused = false;
        _guard.Remove(silo.Process.Pid);
    }

    /// <summary>Starts a further process in the place of one that ended, or is about to.</summary>
    public void Replace(LocalSilo silo)
    {
        lock (_gate)
        {
            var (before, peers) = (silo.Process, silo.Peers);
            silo.Generation++;
            silo.Peers = PeersOf();
            silo.Process = StartProcess(silo.Number, NameOf(silo.Number, silo.Generation), silo.Peers);
            _leaving.Add(EndAsync(before, peers));
        }
    }

    /// <summary>Replaces silos that end, whoever ended them, until it is over.</summary>
    public async Task SuperviseAsync(CancellationToken over)
    {
        using var timer = new PeriodicTimer(Look);
        try
        {
            while (await timer.WaitForNextTickAsync(over))
            {
                foreach (var silo in All.Where(silo => !silo.IsStruck && silo.Process.HasExited))
                {
                    lock (_gate)
                        _ended.Add(silo.Name);
                    said($"{silo.Name} ended though nothing had struck it; another one takes its place.");
                    Replace(silo);
                }
            }
        }
        catch (OperationCanceledException)
        {
            return;
        }
    }

    /// <summary>Waits until every place has a silo that serves.</summary>
    /// <returns>False when patience ended first.</returns>
    public async Task<bool> AwaitServingAsync(TimeSpan patience)
    {
        using var timer = new PeriodicTimer(Look);
        var began = TimeProvider.System.GetTimestamp();
        while ((await ServingAsync()).Count < All.Count)
        {
            if (TimeProvider.System.GetElapsedTime(began) > patience)
                return false;

            await timer.WaitForNextTickAsync();
        }

        return true;
    }

    public async ValueTask DisposeAsync()
    {
        var silos = All;
        foreach (var silo in silos)
            Resume(silo);
        _guard.Dispose();
        await Task.WhenAll([.. silos.Select(silo => EndAsync(silo.Process, silo.Peers)), .. _leaving]);
        if (_stores is not null)
            await _stores.DisposeAsync();
    }

    private static string NameOf(int number, int generation) => generation == 1
        ? string.Create(CultureInfo.InvariantCulture, $"silo-{number}")
        : string.Create(CultureInfo.InvariantCulture, $"silo-{number}.{generation}");

    private static async Task EndAsync(SiloProcess process, PeerProxies? peers)
    {
        await process.DisposeAsync();
        if (peers is not null)
            await peers.DisposeAsync();
    }

    private PeerProxies? PeersOf() => proxied.HasFlag(ProxiedLinks.Peers) ? PeerProxies.Start(ProcessOf) : null;

    private int ProcessOf(int port) => LocalPorts.ProcessOf(port, All.Select(silo => silo.Process.Pid));

    private SiloProcess StartProcess(int number, string siloName, PeerProxies? peers) => SiloProcess.Start(
        name, _stores?.AddressFor(number) ?? store.Unredacted, siloName, said,
        peers is null ? [] :
        [
            "--advertise", PeerProxies.Advertised.ToString(),
            "--silo-port", peers.SiloPort.ToString(CultureInfo.InvariantCulture),
            "--gateway-port", peers.GatewayPort.ToString(CultureInfo.InvariantCulture),
        ]);
}

/// <summary>Links of a run's silos that go through proxies of Fleet's own.</summary>
[Flags]
internal enum ProxiedLinks : byte
{
    None = 0,

    /// <summary>From each silo to the database.</summary>
    Store = 1,

    /// <summary>From everybody to each silo.</summary>
    Peers = 2,
}
