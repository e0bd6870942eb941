using System.Diagnostics;
using Fleet.Kernel.History;
using Fleet.Storage.Results;
using Fleet.Storage.Server;
using Fleet.Storage.Spool;

namespace Fleet.Storage.Tests.Results;

[NeedsServer]
[Trait("tier", "pg")]
public sealed class KilledServerTests
{
    // Goal: a server that is killed in the middle of a run costs nothing that was acknowledged, and doubles nothing.
    // Method: the load goes on while the server's processes are killed and it is started again, twice.
    [StoreFact]
    public async Task A_server_killed_twice_during_a_run_loses_and_doubles_nothing()
    {
        using var folder = new Folder();
        File.SetUnixFileMode(folder.Path, (UnixFileMode)0b111_101_101);
        var server = PrivateServer.In(folder.In("pg"));
        try
        {
            var status = await server.UpAsync(default);
            await using var store = await ResultStores.OpenAsync(StoreAddress.Parse(status.Address), default);
            var objects = Samples.Objects();
            await using var writer = await store.CreateRunAsync(new RunInfo("killed"), objects, default);
            using var spool = SpoolWriter.Create(
                new SpoolOptions(folder.In("spool"), "killed", 1, "p", "c")
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
                KillTree((await server.PidAsync(default))!.Value);
                await Until(() => !spool.HasRoom, drain); // The spool grows to its bound, then the load waits.
                await server.UpAsync(default);
            }

            await Until(() => spool.HasRoom, drain);
            await stop.CancelAsync();
            await Task.WhenAll(load);
            var report = await drain.CompleteAsync(default).WaitAsync(TimeSpan.FromSeconds(60));
            Assert.True(report.IsExact, report.ToString());
            Assert.True(report.OperationsStored > 40_000);
            var numbers = new Collected();
            await writer.Reader.StreamUnplacedAsync(numbers, default);
            Assert.Equal(report.OperationsStored, numbers.Operations.Select(o => o.Number).Distinct().LongCount());
        }
        finally
        {
            await server.DownAsync(default);
        }
    }

    private static async Task Until(Func<bool> holds, SpoolDrain drain)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (!holds())
        {
            Assert.False(drain.Completion.IsCompleted, drain.Completion.Exception?.ToString());
            await tick.WaitForNextTickAsync(patience.Token);
        }
    }

    /// <summary>Kills the server and its children at once, as a machine that dies does.</summary>
    private static void KillTree(int pid)
    {
        using var server = Process.GetProcessById(pid);
        server.Kill(entireProcessTree: true);
        server.WaitForExit(10_000);
    }
}
