using System.Collections.Concurrent;
using System.Globalization;
using Fleet.Client.Load;
using Fleet.Client.Scenarios;
using Fleet.Storage;
using Fleet.Storage.Results;
using Fleet.Storage.Server;

namespace Fleet.Client.Runs;

/// <summary>The fault <c>db-kill</c>: every process of the private server is killed at once, and it is started again
/// a while later.</summary>
/// <remarks>
/// Only a server that Fleet started is ever touched. Whenever the run ends, the server is up again: what was recorded
/// has to be stored. Concurrency: one task, kills never overlap.
/// </remarks>
internal sealed class DatabaseKills
{
    /// <summary>How long the server stays away unless the plan says <c>for</c>.</summary>
    private static readonly TimeSpan AwayDefault = TimeSpan.FromSeconds(2);

    private readonly PrivateServer _server;
    private readonly IReadOnlyList<Fault> _faults;
    private readonly ulong _seed;
    private readonly Action<string> _said;
    private readonly ConcurrentQueue<FaultRecord> _records = new();

    private DatabaseKills(PrivateServer server, IReadOnlyList<Fault> faults, ulong seed, Action<string> said) =>
        (_server, _faults, _seed, _said) = (server, faults, seed, said);

    /// <summary>What was done, in its order.</summary>
    public IReadOnlyCollection<FaultRecord> Records => _records;

    /// <returns>Null where the scenario has no such fault.</returns>
    public static DatabaseKills? Of(RunRequest request, Action<string> said)
    {
        var faults = request.Scenario.Faults.Where(fault => fault.Kind is FaultKind.DbKill).ToList();
        return faults.Count > 0 && PrivateServer.Behind(request.Store) is { } server
            ? new(server, faults, request.Scenario.Seed, said)
            : null;
    }

    /// <summary>Kills as planned until the load is over; times count from the call.</summary>
    /// <exception cref="StorageException">The server did not come up again.</exception>
    public async Task RunAsync(CancellationToken over)
    {
        var began = MonotonicNs.Now;
        var queue = new PriorityQueue<(Fault Fault, RandomStream Random), TimeSpan>();
        foreach (var (number, fault) in _faults.Index())
        {
            var random = new RandomStream(_seed, "db-kill", number);
            queue.Enqueue((fault, random), Next(fault, random, TimeSpan.Zero) ?? TimeSpan.Zero);
        }

        while (queue.TryDequeue(out var next, out var due))
        {
            var passed = TimeSpan.FromMicroseconds((MonotonicNs.Now - began) / 1000);
            if (due > passed && !await PauseAsync(due - passed, over))
                return;
            await KillAsync(next.Fault, over);
            if (over.IsCancellationRequested)
                return;
            if (Next(next.Fault, next.Random, due) is { } again && next.Fault.When is FaultSchedule.Interval)
                queue.Enqueue(next, again);
        }
    }

    private static TimeSpan? Next(Fault fault, RandomStream random, TimeSpan last) => fault.When switch
    {
        FaultSchedule.At at => at.After,
        FaultSchedule.Interval interval => last + (interval.Mean * -Math.Log(1 - random.NextShare())),
        _ => null,
    };

    private async Task KillAsync(Fault fault, CancellationToken over)
    {
        var atNs = MonotonicNs.Now;
        if (!await _server.KillAsync(CancellationToken.None))
            return;

        var away = fault.For ?? AwayDefault;
        _said(string.Create(
            CultureInfo.InvariantCulture,
            $"fault db-kill: the server is killed, and away for {away.TotalSeconds:0.#} s"));
        await PauseAsync(away, over);
        await _server.UpAsync(CancellationToken.None);
        var downNs = MonotonicNs.Now - atNs;
        _said(string.Create(
            CultureInfo.InvariantCulture, $"fault db-kill: the server is back after {downNs / 1e9:0.0} s"));
        _records.Enqueue(new(
            atNs, "db-kill", "private server", string.Join(' ', fault.Expect),
            string.Create(CultureInfo.InvariantCulture, $"all processes killed, back after {downNs / 1_000_000} ms")));
    }

    /// <returns>False when the load was over first.</returns>
    private static async Task<bool> PauseAsync(TimeSpan pause, CancellationToken over)
    {
        try
        {
            await Task.Delay(pause, over);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }
}
