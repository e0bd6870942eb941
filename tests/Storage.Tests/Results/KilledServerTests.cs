using Fleet.Kernel.History;
using Fleet.Storage.Results;
using Fleet.Storage.Server;
using Fleet.Storage.Spool;
using Npgsql;

namespace Fleet.Storage.Tests.Results;

[NeedsServer]
[Trait("tier", "pg")]
public sealed class KilledServerTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    // Goal: a server that is killed in the middle of a run costs nothing that was acknowledged, and doubles nothing.
    // Method: the load goes on while the server's processes are killed and it is started again, twice.
    [StoreFact]
    public async Task A_server_killed_twice_during_a_run_loses_and_doubles_nothing()
    {
        await using var own = await OwnServer.StartAsync();
        await using var store = await ResultStores.OpenAsync(own.Address, default);
        var objects = Samples.Objects();
        await using var writer = await store.CreateRunAsync(new RunInfo("killed"), objects, default);
        using var spool = SpoolWriter.Create(
            new SpoolOptions(own.In("spool"), "killed", 1, "p", "c")
            {
                SegmentBytes = 1 << 20,
                BoundBytes = 8 << 20,
                Stripes = 2
            },
            objects);
        await using var drain = SpoolDrain.Start(spool, writer);
        using var stop = new CancellationTokenSource();
        var load = Enumerable.Range(0, 2).Select(t => Task.Run(async () =>
        {
            using var numbers = spool.OpenClient(7 + t, 9);
            while (!stop.IsCancellationRequested)
            {
                await spool.WaitForRoomAsync(stop.Token).AsTask().ContinueWith(_ => { }, TaskScheduler.Default);
                spool.Append(new Operation
                {
                    Number = numbers.Next(),
                    Client = numbers.Client,
                    Session = 9,
                    Outcome = OperationOutcome.Ok
                });
            }
        })).ToList();
        for (var kills = 0; kills < 2; kills++)
        {
            var stored = drain.RowsStored;
            await Until(() => drain.RowsStored > stored + 20_000, drain);
            Assert.True(await own.Server.KillAsync(default));
            await Until(() => !spool.HasRoom, drain); // The spool grows to its bound, then the load waits.
            await own.Server.UpAsync(default);
        }

        await Until(() => spool.HasRoom, drain);
        await stop.CancelAsync();
        await Task.WhenAll(load);
        var report = await drain.CompleteAsync(default).WaitAsync(Patience);
        Assert.True(report.IsExact, report.ToString());
        Assert.True(report.OperationsStored > 40_000);
        var numbers = new Collected();
        await writer.Reader.StreamUnplacedAsync(numbers, default);
        Assert.Equal(report.OperationsStored, numbers.Operations.Select(o => o.Number).Distinct().LongCount());
    }

    // Goal: a server that dies with two batches under way, complete but for their COMMIT, costs and doubles nothing.
    // Method: the table of their keys is locked until both wait for it, then the server is killed.
    [StoreFact]
    public async Task A_server_killed_with_two_batches_under_way_loses_and_doubles_nothing()
    {
        await using var own = await OwnServer.StartAsync();
        await using var store = await ResultStores.OpenAsync(own.Address, default);
        var objects = Samples.Objects();
        await using var writer = await store.CreateRunAsync(new RunInfo("two"), objects, default);
        using var spool = SpoolWriter.Create(
            new SpoolOptions(own.In("spool"), "two", 1, "p", "c") { SegmentBytes = 1 << 20, Stripes = 2 },
            objects);
        using (var numbers = spool.OpenClient(7, 9))
        {
            for (var i = 0; i < 400_000; i++)
            {
                spool.Append(new Operation { Number = numbers.Next(), Client = 7, Session = 9 });
            }
        }

        await using var source = NpgsqlDataSource.Create(own.Address.ConnectionString + ";Pooling=false");
        await using var drain = await StartAndKillAsync(own.Server, source, () => SpoolDrain.Start(spool, writer));
        await own.Server.UpAsync(default);
        var report = await drain.CompleteAsync(default).WaitAsync(Patience);
        Assert.Equal(new DrainReport(400_000, 400_000, 0, 0, 0), report);
        var stored = new Collected();
        await writer.Reader.StreamUnplacedAsync(stored, default);
        Assert.Equal(400_000, stored.Operations.Select(o => o.Number).Distinct().Count());
    }

    private static async Task<SpoolDrain> StartAndKillAsync(
        PrivateServer server, NpgsqlDataSource source, Func<SpoolDrain> start)
    {
        await using var other = await source.OpenConnectionAsync();
        await using (var hold = new NpgsqlCommand("BEGIN; LOCK TABLE batches IN SHARE MODE", other))
        {
            await hold.ExecuteNonQueryAsync();
        }

        var drain = start();
        await using var waiting = source.CreateCommand( // A transaction sees one state of it: ask outside.
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            + "AND query LIKE 'INSERT INTO batches%'");
        using var patience = new CancellationTokenSource(Patience);
        using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while ((long)(await waiting.ExecuteScalarAsync(patience.Token))! < 2)
        {
            await tick.WaitForNextTickAsync(patience.Token);
        }

        Assert.True(await server.KillAsync(default));
        return drain;
    }

    private static async Task Until(Func<bool> holds, SpoolDrain drain)
    {
        using var patience = new CancellationTokenSource(Patience);
        using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (!holds())
        {
            Assert.False(drain.Completion.IsCompleted, drain.Completion.Exception?.ToString());
            await tick.WaitForNextTickAsync(patience.Token);
        }
    }
}
