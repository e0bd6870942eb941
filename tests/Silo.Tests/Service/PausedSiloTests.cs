using System.Diagnostics;
using System.Globalization;
using Fleet.Checking;
using Fleet.Checking.History;
using Fleet.Grains;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;
using Fleet.Silo.Cluster;
using Fleet.Storage.Cluster;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;
using Fleet.Tests;

namespace Fleet.Silo.Tests.Service;

// Goal: a silo that stood still while another took its device says nothing for it when it goes on; without fences it
// does, and that is found for what it is.
// Method: a real silo process, stopped by SIGSTOP while it holds a device with a live allocation. The test's own silo
// takes the device through the same database; then the process goes on. Each step follows the one before it.
[Trait("tier", "cluster")]
public sealed class PausedSiloTests(ServerFixture server) : IClassFixture<ServerFixture>
{
    private const string Host = "host-0001";
    private const ulong Bytes = 4096;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);
    private static readonly DevicePlan Device = new(
        $"{Host}/0000:3b:00.0", "p2pdma", [new PciBar(4, true, 0x4_0000_0000, 64 * 1024)]);

    [ServerFact]
    public async Task A_silo_that_wakes_after_it_was_replaced_is_silent_and_refused_by_the_database()
    {
        var late = await PausedAsync("paused-fenced", isFenced: true);

        Assert.Equal(Errno.ENODEV, late.Free.Err);
        Assert.Empty(late.Report.Findings);

        // Nor does the database take anything in its name.
        Assert.Equal(1, late.Refused);
        Assert.All(late.Stale, stale => Assert.True(
            stale.TimeNs < late.TakenNs, $"{stale.Kind} of the first incarnation at {stale.TimeNs} ns is stored"));
    }

    [ServerFact]
    public async Task Without_fences_its_late_success_is_an_infrastructure_finding_with_both_times()
    {
        var late = await PausedAsync("paused-unfenced", isFenced: false);

        Assert.Equal(OperationOutcome.Ok, late.Free.Outcome);
        Assert.True(late.Free.SentNs > late.TakenNs);
        Assert.All(late.Report.Findings, finding => Assert.Equal(FindingClass.Infrastructure, finding.Class));
        var found = Assert.Single(late.Report.Findings, finding => finding.Rule == "ONE-INCARNATION");
        Assert.Contains(Text(late.TakenNs), found.Text, StringComparison.Ordinal);
        Assert.Contains(Text(late.Free.SentNs), found.Text, StringComparison.Ordinal);

        static string Text(long ns) => ns.ToString(CultureInfo.InvariantCulture) + " ns";
    }

    /// <summary>What came of a silo that stood still while another one took its device.</summary>
    /// <param name="Free">Asked of it after it went on, for what its own incarnation had allocated.</param>
    /// <param name="TakenNs">When the device's next incarnation began.</param>
    /// <param name="Stale">What the first incarnation of the device stored.</param>
    /// <param name="Refused">Transitions in the name of the first incarnation that the database refused.</param>
    private sealed record Late(
        Operation Free, long TakenNs, IReadOnlyList<HistoryEvent> Stale, long Refused, CheckReport Report);

    private async Task<Late> PausedAsync(string run, bool isFenced)
    {
        using var patience = new CancellationTokenSource(Patience);
        var ct = patience.Token;
        var address = StoreAddress.Parse(server.Store);
        var clock = SpoolOptions.MonotonicClock();
        var objects = new ObjectTable();
        await using var store = await ResultStores.OpenAsync(address, ct);
        await using var writer = await store.CreateRunAsync(
            new RunInfo(run) { Profile = "ALL", Clock = clock, StartedAt = DateTimeOffset.UtcNow }, objects, ct);
        await using var cluster = await PostgresCluster.OpenAsync(address, run, ct);
        await cluster.AnnounceAsync(run, ct);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(ct);
        var renewing = RenewAsync(cluster, over.Token);
        await using var silo = SiloProcess.Start(run, server.Store, "silo-1", static _ => { });
        await using var client = await ClusterFleet.ConnectAsync(
            cluster, run, 1, Patience, new ClusterSettings().Gateways,
            () => Assert.False(silo.HasExited, "the silo ended before it served"), ct);
        var plan = new RunPlan(run, "ALL", 1, TimeSpan.FromSeconds(2), 3600, [], IsFenced: isFenced);
        var built = await client.Grains.GetGrain<IHostGrain>(Host).Build(plan, new HostPlan(Host, [Device]));
        Assert.Equal(1, built.Bound);
        var session = objects.Intern("session:gen-01");
        var device = client.Grains.GetGrain<IPciDeviceGrain>(Device.Key);
        var alloc = Begin(OperationKind.Alloc, 1);
        var held = await device.Alloc(new(alloc.Number, session, Bytes));
        End(ref alloc, held.Err, held.Address);
        Assert.Equal((Errno.OK, 1), (held.Err, held.At.Gen));

        await SignalAsync(silo.Pid, "STOP");
        var proc = await writer.JoinAsync("silo-2", clock, "localhost", Environment.ProcessId, ct);
        await using var lifecycle = PostgresLifecycle.Open(store, writer, run, objects, proc);
        await using var other = await EmbeddedFleet.StartAsync(
            new()
            {
                Run = run + "-other",
                Objects = objects,
                Log = lifecycle,
                Incarnations = lifecycle,
                ProcessId = proc,
                Process = "silo-2",
            },
            ct);
        var taken = await other.Grains.GetGrain<IPciDeviceGrain>(Device.Key).Alloc(new(2, session, Bytes));
        Assert.Equal(2, taken.At.Gen);
        await SignalAsync(silo.Pid, "CONT");

        var free = Begin(OperationKind.Free, 3);
        var freed = await device.Free(new(free.Number, session, held.At.Gen, held.Number, held.Address, Bytes));
        End(ref free, freed.Err, held.Address);
        var seen = new Collected();
        await writer.Reader.StreamAsync(seen, ct);
        var known = writer.Reader.Objects;
        Name(ref alloc, held.At, held.Owner);
        Name(ref free, freed.At, freed.Owner);
        if (isFenced)
        {
            // As the first process would, had it not heard of the second.
            var stale = new HistoryEvent
            {
                Kind = EventKind.UnbindEnd,
                At = new(objects.Intern(Device.Name), 1, int.MaxValue, 1),
                Proc = proc,
            };
            await Assert.ThrowsAsync<StaleIncarnationException>(() => lifecycle.CommitAsync([stale]).AsTask());
        }

        await over.CancelAsync();
        await renewing;
        await cluster.EndAsync(run, ct);
        var own = seen.Events.Where(one => one.At.Obj == alloc.Device).ToList();
        return new(
            free, own.Single(one => one is { Kind: EventKind.Incarnation, At.Gen: 2 }).TimeNs,
            [.. own.Where(one => one.At.Gen == 1)], lifecycle.Refused, Judged(seen.Events, [alloc, free]));

        Operation Begin(OperationKind kind, long number) => new()
        {
            Number = number,
            Kind = kind,
            SizeBytes = Bytes,
            IntendedNs = NowNs(),
            SentNs = NowNs(),
        };

        void End(ref Operation op, Errno err, ulong start)
        {
            op.DoneNs = NowNs();
            op.Err = err;
            op.Outcome = err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail;
            op.Address = start;
        }

        // The history has numbers of its own for names; they are known once it was read.
        void Name(ref Operation op, At at, int part)
        {
            op.Client = known.Intern("client:gen-01.c1");
            op.Session = known.Intern("session:gen-01");
            op.Device = known.Intern(Device.Name);
            op.Alloc = new(op.Device, held.At.Gen, held.Number);
            op.At = at.Seq == 0 ? default : new(op.Device, at.Gen, at.Seq, at.Life);
            op.Owner = part < 0 ? 0 : known.Intern(Device.RefName(part));
        }

        CheckReport Judged(IEnumerable<HistoryEvent> events, Operation[] operations)
        {
            var checker = new HistoryChecker(
                new HistoryHeader { Run = run, Source = "live", Profile = "ALL", Clock = clock, ClockBoundNs = 0 },
                known, []);
            var records = events.Select(one => (HistoryRecord)one)
                .Concat(operations.Select(one => (HistoryRecord)one))
                .OrderBy(record => known.Kind(record.At.Obj) is ObjectKind.Device)
                .ThenBy(record => record.At.Obj).ThenBy(record => (record.At.Gen, record.At.Seq));
            foreach (var record in records)
            {
                checker.Add(record);
            }

            return checker.Finish();
        }
    }

    /// <summary>The clock of this machine, which silos stamp with.</summary>
    private static long NowNs() => (long)(Stopwatch.GetTimestamp() * (1e9 / Stopwatch.Frequency));

    private static async Task SignalAsync(int pid, string signal)
    {
        using var kill = Process.Start("/bin/sh", ["-c", $"kill -{signal} {pid}"]);
        await kill.WaitForExitAsync();
        Assert.Equal(0, kill.ExitCode);
    }

    private static async Task RenewAsync(PostgresCluster cluster, CancellationToken ct)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1));
        try
        {
            while (await timer.WaitForNextTickAsync(ct))
            {
                await cluster.RenewAsync(ct);
            }
        }
        catch (OperationCanceledException)
        {
            return;
        }
    }

    private sealed class Collected : IHistorySink
    {
        public List<HistoryEvent> Events { get; } = [];

        public void Observe(HistoryEvent record) => Events.Add(record);

        public void Observe(in Operation record) => Assert.Fail("Nothing recorded operations in this run.");
    }
}
