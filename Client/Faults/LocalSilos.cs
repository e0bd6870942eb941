using System.Globalization;
using Fleet.Client.Runs;
using Fleet.Silo.Cluster;
using Fleet.Storage;
using Fleet.Storage.Cluster;

namespace Fleet.Client.Faults;

/// <summary>The silos of a run in processes that it started: whatever ends one of them, another takes its
/// place.</summary>
/// <remarks>
/// Only processes started here are ever signalled. Disposing leaves none behind, paused ones included. Concurrency: any
/// thread.
/// </remarks>
internal sealed class LocalSilos(PostgresCluster cluster, string name, string store, Action<string> said)
    : IAsyncDisposable
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    private readonly Lock _gate = new();
    private readonly List<LocalSilo> _silos = [];
    private readonly List<string> _ended = [];
    private readonly List<Task> _leaving = [];

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

    public void Start(int count)
    {
        for (var number = 1; number <= count; number++)
        {
            var silo = new LocalSilo(number, StartProcess($"silo-{number}"));
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

    /// <summary>Ends a silo at once; returns when its process is gone.</summary>
    public static async Task KillAsync(LocalSilo silo)
    {
        ProcessSignal.Kill(silo.Process.Pid);
        await silo.Process.WaitForExitAsync(CancellationToken.None);
    }

    public static void Pause(LocalSilo silo)
    {
        silo.IsPaused = true;
        ProcessSignal.Pause(silo.Process.Pid);
    }

    public static void Resume(LocalSilo silo)
    {
        if (silo.IsPaused && !silo.Process.HasExited)
            ProcessSignal.Resume(silo.Process.Pid);
        silo.IsPaused = false;
    }

    /// <summary>Starts a further process in the place of one that ended, or is about to.</summary>
    public void Replace(LocalSilo silo)
    {
        lock (_gate)
        {
            var before = silo.Process;
            silo.Generation++;
            silo.Process = StartProcess(
                string.Create(CultureInfo.InvariantCulture, $"silo-{silo.Number}.{silo.Generation}"));
            _leaving.Add(before.DisposeAsync().AsTask());
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
        await Task.WhenAll([.. silos.Select(silo => silo.Process.DisposeAsync().AsTask()), .. _leaving]);
    }

    private SiloProcess StartProcess(string siloName) => SiloProcess.Start(name, store, siloName, said);
}
