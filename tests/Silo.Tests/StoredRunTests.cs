using Fleet.Checking;
using Fleet.Checking.History;
using Fleet.Grains;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.Silo.Tests;

/// <summary>
/// From the silo through the spool and the store to the checker: nothing is lost, and both verdicts agree.
/// </summary>
[Trait("tier", "cluster")]
public sealed class StoredRunTests : IDisposable
{
    private const string Key = "host-0001/0000:3b:00.0";

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("fleet-silo-tests-");

    public void Dispose() => _directory.Delete(recursive: true);

    [Theory]
    [InlineData("ALL", RunVerdict.Valid)]
    [InlineData("P0", RunVerdict.Invalid)]
    public async Task What_the_silo_recorded_is_judged_alike_online_and_from_the_store(
        string profile, RunVerdict expected)
    {
        var objects = new ObjectTable();
        var clock = SpoolOptions.MonotonicClock();
        await using var store = await ResultStores.OpenAsync(
            StoreAddress.Parse(_directory.FullName), CancellationToken.None);
        await using var writer = await store.CreateRunAsync(
            new RunInfo("stored") { Profile = profile, Clock = clock }, objects, CancellationToken.None);
        await writer.AddProcessAsync(
            new ProcessInfo(1, "embedded", clock, "localhost", Environment.ProcessId), CancellationToken.None);
        using var spool = SpoolWriter.Create(
            new SpoolOptions(Path.Combine(_directory.FullName, "spool"), "stored", 1, "embedded", clock), objects);
        await using var drain = SpoolDrain.Start(spool, writer);
        var online = new OnlineChecker(profile, objects, _ => { });
        await using (var fleet = await EmbeddedFleet.StartAsync(
            new EmbeddedFleetOptions { Run = "stored", Objects = objects, Log = new SpoolLog(spool), Streams = online },
            CancellationToken.None))
        {
            await Play(fleet.Grains, spool, objects, profile);
        }

        Assert.True((await drain.CompleteAsync(CancellationToken.None)).IsExact);
        var stored = new Judge(new HistoryChecker(
            new HistoryHeader
            {
                Run = "stored",
                Source = "live",
                Profile = profile,
                Clock = clock,
                Complete = true,
                Quiescent = true
            },
            writer.Reader.Objects, []));
        await writer.Reader.StreamAsync(stored, CancellationToken.None);
        var report = stored.Checker.Finish();
        Assert.Equal(expected, report.Verdict);
        Assert.True(report.Complete, string.Join(' ', report.Reasons));
        Assert.Equal(
            online.Snapshot().Findings.Select(f => f.Rule).Order(StringComparer.Ordinal),
            report.Findings.Select(f => f.Rule).Order(StringComparer.Ordinal));
    }

    /// <summary>One client: allocates, is unbound under, touches, frees; every answer is recorded.</summary>
    private static async Task Play(IGrainFactory grains, SpoolWriter spool, ObjectTable objects, string profile)
    {
        var session = objects.Intern("session:gen-01");
        var client = objects.Intern("client:gen-01.c1");
        using var numbers = spool.OpenClient(client, session);
        var plan = new DevicePlan(Key, "p2pdma", [new PciBar(4, true, 0x4_0000_0000, 64 * 1024)]);
        var run = new RunPlan("stored", profile, 1, TimeSpan.FromMilliseconds(200), 30, []);
        await grains.GetGrain<IHostGrain>("host-0001").Build(run, new HostPlan("host-0001", [plan]));
        var (device, map) = (grains.GetGrain<IPciDeviceGrain>(Key), grains.GetGrain<IPgmapGrain>(plan.ResourceKey(0)));
        var (deviceId, mapId) = (objects.Intern(plan.Name), objects.Intern(plan.MapName(0)));

        var op = Begin(OperationKind.Alloc);
        var held = await device.Alloc(new(op.Number, session, 4096));
        op.Alloc = new(deviceId, held.At.Gen, held.Number);
        op.Address = held.Address;
        op.Owner = held.Owner < 0 ? 0 : objects.Intern(plan.RefName(held.Owner));
        End(ref op, held.Err, deviceId, held.At);

        var unbind = await device.Unbind(0);
        while (!unbind.IsDone && !unbind.WaitsFor!.Contains("the last reference", StringComparison.Ordinal))
        {
            unbind = await device.AwaitTicket(unbind.Ticket);
        }

        op = Begin(OperationKind.Access) with
        {
            Alloc = new(deviceId, held.At.Gen, held.Number),
            Map = mapId,
            Pfn = held.Address >> 12,
            PageCount = 1,
            Direction = AccessDirection.Write,
            Via = AccessVia.Dma,
            Tag = 0x77,
        };
        var touched = await map.Access(
            new(op.Number, session, held.At.Gen, held.Number, op.Pfn, 1, AccessDirection.Write, AccessVia.Dma, 0x77));
        End(ref op, touched.Err, mapId, touched.At);

        op = Begin(OperationKind.Free) with
        {
            Alloc = new(deviceId, held.At.Gen, held.Number),
            Address = held.Address,
        };
        var freed = await device.Free(new(op.Number, session, held.At.Gen, held.Number, held.Address, 4096));
        op.Owner = freed.Owner < 0 ? 0 : objects.Intern(plan.RefName(freed.Owner));
        End(ref op, freed.Err, deviceId, freed.At);
        while (!unbind.IsDone)
        {
            unbind = await device.AwaitTicket(unbind.Ticket);
        }

        Assert.Empty((await grains.GetGrain<IHostGrain>("host-0001").Close()).Open);

        Operation Begin(OperationKind kind)
        {
            var now = TimeProvider.System.GetTimestamp();
            return new()
            {
                Number = numbers.Next(),
                Kind = kind,
                Client = client,
                Session = session,
                Device = deviceId,
                SizeBytes = 4096,
                IntendedNs = now,
                SentNs = now,
            };
        }

        void End(ref Operation done, Errno err, int obj, At at)
        {
            done.Err = err;
            done.Outcome = err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
            done.At = new(obj, at.Gen, at.Seq, at.Life);
            done.DoneNs = TimeProvider.System.GetTimestamp();
            spool.Append(done);
        }
    }

    private sealed class Judge(HistoryChecker checker) : IHistorySink
    {
        public HistoryChecker Checker => checker;

        public void Observe(HistoryEvent record) => checker.Add(record);

        public void Observe(in Operation record) => checker.Add(record);
    }
}
