using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using Fleet.Silo.Cluster;
using Fleet.Silo.Health;
using Fleet.Silo.Service;
using Fleet.Storage;
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;
using Fleet.Storage.Server;

// CA1416: file modes exist on Unix only; so do the processes that a local cluster signals.
#pragma warning disable CA1416

namespace Fleet.Client.Cluster;

/// <summary>Silo processes on this machine that are one cluster and stay up after the command that started
/// them.</summary>
/// <remarks>
/// What it knows stands in one directory of its owner's (mode 0700; 0711 where a server of another user must pass
/// through it): cluster.json, a log and a ports file for each silo, and the private server's data.
/// </remarks>
public sealed class LocalCluster(string directory)
{
    public const string DefaultDirectory = "./fleet-cluster";
    public const string DefaultName = "local";
    public const int SilosMax = 64;

    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan AnswerPatience = TimeSpan.FromSeconds(5);

    /// <summary>Longer than a silo's own patience to leave.</summary>
    private static readonly TimeSpan LeavePatience = TimeSpan.FromSeconds(20);

    private const UnixFileMode Owner = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private readonly string _directory = Path.GetFullPath(directory);

    private string Silos => Path.Combine(_directory, "silos");

    private string Database => Path.Combine(_directory, "db");

    /// <summary>Starts the silos, and a private server where no store is given; returns when all are ready.</summary>
    /// <exception cref="UsageException">A cluster runs here already, or the directory is somebody else's.</exception>
    /// <exception cref="StorageException">The store cannot be used, or a silo did not come; nothing stays
    /// behind.</exception>
    public async Task<ClusterStatus> UpAsync(
        string name, int silos, StoreAddress? store, TimeSpan patience, Action<string> said, CancellationToken ct)
    {
        DemandFree();
        var wasThere = ClusterState.IsIn(_directory);
        var state = new ClusterState(name, store?.Unredacted ?? "", store is null, []);
        Prepare(state);
        try
        {
            if (store is null)
            {
                said("starting a private PostgreSQL");
                var server = await PrivateServer.In(Database).UpAsync(ct);
                store = StoreAddress.Parse(server.Address);
                state = state with { Store = store.Unredacted };
                state.Write(_directory);
            }

            await DemandFreeNameAsync(store, name, ct);
            said($"starting {silos} silos of cluster {name}");
            for (var number = 1; number <= silos; number++)
            {
                state = state with { Silos = [.. state.Silos, Start(state, $"silo-{number}")] };
                state.Write(_directory);
            }

            await AwaitReadyAsync(state, patience, ct);
            return await StatusAsync(ct);
        }
        catch
        {
            await DownAsync(keep: wasThere, CancellationToken.None);
            throw;
        }
    }

    /// <exception cref="UsageException">There is no cluster in the directory.</exception>
    public async Task<ClusterStatus> StatusAsync(CancellationToken ct)
    {
        var state = ClusterState.Read(_directory);
        var silos = await Task.WhenAll(state.Silos.Select(silo => AskAsync(silo, ct)));
        var address = StoreAddress.Parse(state.Store);
        IReadOnlyList<SiloMember> members = [];
        RunIncarnations? incarnations = null;
        try
        {
            await using var cluster = await PostgresCluster.OpenAsync(address, state.Cluster, ct);
            members = await cluster.KnownSilosAsync(ct);
            if (await cluster.RunAsync(ct) is { Run: { } run, IsFresh: true })
            {
                var (objects, reborn, _) = await cluster.IncarnationsAsync(run, ct);
                incarnations = new(run, objects, reborn);
            }

            return new(state.Cluster, _directory, address.Text, state.OwnsStore, true, silos, members, incarnations);
        }
        catch (StorageException)
        {
            return new(state.Cluster, _directory, address.Text, state.OwnsStore, false, silos, members, incarnations);
        }
    }

    /// <summary>Stops the silos and the private server; removes the directory unless it is to be kept.</summary>
    /// <exception cref="UsageException">There is no cluster in the directory.</exception>
    public async Task<ClusterEnd> DownAsync(bool keep, CancellationToken ct)
    {
        var state = ClusterState.Read(_directory);
        var alive = state.Silos.Where(silo => silo.Process.IsAlive).ToList();
        alive.ForEach(silo => silo.Process.Terminate());
        var killed = await AwaitEndAsync(alive, ct);
        if (state.OwnsStore)
        {
            if (Directory.Exists(Path.Combine(Database, "data")))
            {
                if (keep)
                    await ForgetAsync(state, ct);
                await PrivateServer.In(Database).DownAsync(ct);
            }
        }
        else
        {
            await ForgetAsync(state, ct);
        }

        if (keep)
        {
            Directory.Delete(Silos, recursive: true);
            (state with { Silos = [] }).Write(_directory);
        }
        else
        {
            Directory.Delete(_directory, recursive: true);
        }

        return new(state.Cluster, alive.Count - killed, killed, keep ? _directory : null);
    }

    private void DemandFree()
    {
        if (ClusterState.IsIn(_directory))
        {
            if (ClusterState.Read(_directory).Silos.Count(silo => silo.Process.IsAlive) is var alive and > 0)
            {
                throw new UsageException(
                    $"A cluster of {alive} silos runs in {ForeignText.Quote(_directory)}; accepted: fleet cluster "
                    + "down first, or another --directory.");
            }
        }
        else if (Directory.Exists(_directory) && Directory.EnumerateFileSystemEntries(_directory).Any())
        {
            throw new UsageException(
                $"{ForeignText.Quote(_directory)} is there and not a cluster's; accepted: a new or empty directory, "
                + "which fleet cluster down removes.");
        }
    }

    private void Prepare(ClusterState state)
    {
        Directory.CreateDirectory(_directory, Owner);

        // PostgreSQL refuses to run as root; the user that it gets then has to pass through, and sees nothing.
        File.SetUnixFileMode(
            _directory,
            state.OwnsStore && Environment.IsPrivilegedProcess
                ? Owner | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute : Owner);
        state.Write(_directory);
        if (Directory.Exists(Silos))
            Directory.Delete(Silos, recursive: true);
        Directory.CreateDirectory(Silos, Owner);
    }

    private static async Task DemandFreeNameAsync(StoreAddress store, string name, CancellationToken ct)
    {
        await using var cluster = await PostgresCluster.OpenAsync(store, name, ct);
        if ((await cluster.KnownSilosAsync(ct)).Count(member => member is { Status: "Active", IsFresh: true })
            is var living and > 0)
        {
            throw new UsageException(
                $"A cluster {name} of {living} silos lives in {store}, or died within the last minute; accepted: "
                + "another --name.");
        }

        await cluster.ForgetAsync(ct);
    }

    private StartedSilo Start(ClusterState state, string name)
    {
        var silo = DetachedSilo.Start(
            state.Cluster, state.Store, name, Path.Combine(Silos, $"{name}.log"), PortsOf(name));
        return new(name, ProcessMark.Of(silo) ?? throw new StorageException(SentenceOf(name, "ended at once")));
    }

    private async Task AwaitReadyAsync(ClusterState state, TimeSpan patience, CancellationToken ct)
    {
        using var timer = new PeriodicTimer(Look);
        var began = Stopwatch.GetTimestamp();
        while (true)
        {
            var answers = await Task.WhenAll(state.Silos.Select(silo => AskAsync(silo, ct)));
            if (answers.All(one => one.IsReady))
                return;

            if (answers.FirstOrDefault(one => !one.IsAlive) is { } gone)
                throw new StorageException(SentenceOf(gone.Name, "ended before it was ready"));

            if (Stopwatch.GetElapsedTime(began) > patience)
            {
                var late = answers.First(one => !one.IsReady);
                throw new StorageException(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{SentenceOf(late.Name, $"is not ready after {patience.TotalSeconds:0} s")}"));
            }

            await timer.WaitForNextTickAsync(ct);
        }
    }

    /// <returns>How many had to be killed.</returns>
    private static async Task<int> AwaitEndAsync(List<StartedSilo> silos, CancellationToken ct)
    {
        using var timer = new PeriodicTimer(Look);
        var began = Stopwatch.GetTimestamp();
        var killed = 0;
        while (silos.Any(silo => silo.Process.IsAlive))
        {
            if (killed == 0 && Stopwatch.GetElapsedTime(began) > LeavePatience)
            {
                var late = silos.FindAll(silo => silo.Process.IsAlive);
                late.ForEach(silo => silo.Process.Kill());
                killed = late.Count;
            }

            await timer.WaitForNextTickAsync(ct);
        }

        return killed;
    }

    /// <summary>A store that does not answer keeps rows of members that are gone; the next cluster of the name removes
    /// them.</summary>
    private static async Task ForgetAsync(ClusterState state, CancellationToken ct)
    {
        try
        {
            await using var cluster = await PostgresCluster.OpenAsync(
                StoreAddress.Parse(state.Store), state.Cluster, ct);
            await cluster.ForgetAsync(ct);
        }
        catch (StorageException)
        {
            return;
        }
    }

    private async Task<SiloAnswer> AskAsync(StartedSilo silo, CancellationToken ct)
    {
        var (answer, isAlive) = (new SiloAnswer(silo.Name, silo.Process.Pid, false, false, null), silo.Process.IsAlive);
        if (!isAlive || !File.Exists(PortsOf(silo.Name)))
            return answer with { IsAlive = isAlive };

        using var http = new HttpClient { Timeout = AnswerPatience };
        try
        {
            var ports = JsonSerializer.Deserialize<SiloPorts>(
                await File.ReadAllTextAsync(PortsOf(silo.Name), ct), SiloHealth.Json)!;
            var root = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{ports.HealthPort}/");
            using var ready = await http.GetAsync(root + "readyz", ct);
            var health = await http.GetFromJsonAsync<SiloHealth>(root + "status", SiloHealth.Json, ct);
            return answer with { IsAlive = true, IsReady = ready.IsSuccessStatusCode, Health = health };
        }
        catch (Exception e) when (e is HttpRequestException or IOException or JsonException
            || (e is OperationCanceledException && !ct.IsCancellationRequested))
        {
            return answer with { IsAlive = silo.Process.IsAlive };
        }
    }

    private string PortsOf(string silo) => Path.Combine(Silos, $"{silo}.ports");

    /// <summary>What happened to a silo, with its own last word.</summary>
    private string SentenceOf(string silo, string what)
    {
        var log = Path.Combine(Silos, $"{silo}.log");
        var last = File.Exists(log) ? File.ReadLines(log).LastOrDefault(line => line.Length > 0) : null;
        return $"The silo {silo} {what}; it said last: {ForeignText.Clean(last ?? "nothing", 500)}";
    }
}

/// <summary>How a cluster on this machine stands.</summary>
/// <param name="Members">As the database has them; empty where it does not answer.</param>
/// <param name="Incarnations">Of the run that is served now; null without one.</param>
public sealed record ClusterStatus(
    string Cluster, string Directory, string Store, bool OwnsStore, bool StoreAnswers,
    IReadOnlyList<SiloAnswer> Silos, IReadOnlyList<SiloMember> Members, RunIncarnations? Incarnations)
{
    public bool IsReady => StoreAnswers && Silos.Count > 0 && Silos.All(silo => silo.IsReady);
}

/// <summary>What one silo process said of itself.</summary>
/// <param name="Health">Null while it does not answer.</param>
public sealed record SiloAnswer(string Name, int Pid, bool IsAlive, bool IsReady, SiloHealth? Health);

/// <summary>Objects of a run that have an incarnation, and those that were born again after a failover.</summary>
public sealed record RunIncarnations(string Run, long Objects, long Reborn);

/// <summary>How a cluster ended.</summary>
/// <param name="Killed">Silos that did not leave in time.</param>
/// <param name="Kept">The directory that stays; null when nothing does.</param>
public sealed record ClusterEnd(string Cluster, int Stopped, int Killed, string? Kept);
