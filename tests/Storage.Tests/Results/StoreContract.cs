using CsCheck;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Storage.Query;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.Storage.Tests.Results;

/// <summary>What both stores promise, tried on each.</summary>
public abstract partial class StoreContract
{
    protected abstract Task<IResultStore> StoreAsync();

    private static string NewName() => $"run-{Guid.NewGuid():N}";

    private static RunInfo Info(string name) => new(name)
    {
        Scenario = "smoke",
        Profile = "ALL",
        Seed = ulong.MaxValue,
        Clock = "monotonic:x",
        ClockBoundNs = 5,
        EpochNs = 1000,
        StartedAt = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero),
        CommandLine = "fleet run",
        Settings = "{\"a\":1}",
    };

    private static RunOutcome Valid() => new(RunVerdict.Valid, 0)
    {
        Complete = true,
        Quiescent = true,
        EndedAt = new DateTimeOffset(2026, 1, 2, 3, 5, 5, TimeSpan.Zero),
        Summary = "{\"ok\":true}",
    };

    // Goal: the store changes no field of no record, and gives them in the order of each object.
    [StoreFact]
    public async Task Records_come_back_field_by_field_in_the_order_of_their_objects()
    {
        await using var store = await StoreAsync();
        var operations = Samples.Operation.Array[300].Single()
            .DistinctBy(o => (o.At.Obj, o.At.Gen, o.At.Seq)).ToArray();
        var taken = operations.Select(o => (o.At.Obj, o.At.Gen, o.At.Seq)).ToHashSet();
        var events = Samples.Event.Array[300].Single()
            .Where(e => taken.Add((e.At.Obj, e.At.Gen, e.At.Seq))).ToArray();
        var name = NewName();
        var objects = Samples.Objects();
        await using (var writer = await store.CreateRunAsync(Info(name), objects, default))
        {
            await writer.AddProcessAsync(new ProcessInfo(1, "embedded", "monotonic:x", "h", 42), default);
            var batch = new HistoryBatch(objects, 1);
            foreach (var op in operations)
            {
                batch.Add(op);
            }

            batch.Events.AddRange(events);
            await writer.AppendAsync(batch, default);
            Assert.Equal((operations.Length, events.Length), await writer.CountAsync(1, default));
            Assert.Equal((0, 0), await writer.CountAsync(2, default));
            await writer.SealAsync(Valid(), default);
        }

        await using var reader = await store.OpenRunAsync(name, default);
        Assert.Equal(Info(name), reader.Run.Info);
        Assert.Equal(Valid(), reader.Run.Outcome);
        Assert.Equal(operations.Length, reader.Run.Operations);
        Assert.Equal(new ProcessInfo(1, "embedded", "monotonic:x", "h", 42),
            Assert.Single(await reader.ProcessesAsync(default)));
        var placed = new Collected();
        await reader.StreamAsync(placed, default);
        var unplaced = new Collected();
        await reader.StreamUnplacedAsync(unplaced, default);

        var renamed = Renamed(operations, objects, reader.Objects);
        Assert.Equal(
            renamed.OrderBy(o => o.Number).ThenBy(o => o.SentNs).ToArray(),
            placed.Operations.Concat(unplaced.Operations).OrderBy(o => o.Number).ThenBy(o => o.SentNs).ToArray());
        Assert.All(unplaced.Operations, o => Assert.True(o.At.IsNone));
        Assert.Equal(events.Length, placed.Events.Count);
        foreach (var e in events)
        {
            var at = Renamed(e.At, objects, reader.Objects);
            Samples.Same(
                e with
                {
                    At = at,
                    Other = Renamed(e.Other, objects, reader.Objects),
                    After = [.. e.After.Select(a => Renamed(a, objects, reader.Objects))],
                    Alloc = e.Alloc.IsNone ? default : e.Alloc with
                    {
                        Device = Renamed(e.Alloc.Device, objects, reader.Objects)
                    },
                },
                placed.Events.Single(x => x.At == at));
        }

        Assert.Equal(
            placed.Order,
            placed.Order.OrderBy(p => Group(reader.Objects, p.Obj)).ThenBy(p => p.Obj).ThenBy(p => p.Gen)
                .ThenBy(p => p.Seq));
    }

    private static (int, int) Group(ObjectTable objects, int id) => (
        objects.DeviceOf(id) == 0 ? id : objects.DeviceOf(id),
        objects.Kind(id) switch { ObjectKind.Map => 0, ObjectKind.Ref => 1, ObjectKind.Device => 3, _ => 2 });

    private static int Renamed(int id, ObjectTable from, ObjectTable to) => id == 0 ? 0 : to.Find(from.Name(id));

    private static Position Renamed(Position at, ObjectTable from, ObjectTable to) =>
        at.IsNone ? at : at with { Obj = Renamed(at.Obj, from, to) };

    private static IEnumerable<Operation> Renamed(Operation[] operations, ObjectTable from, ObjectTable to) =>
        operations.Select(o => o with
        {
            Client = Renamed(o.Client, from, to),
            Session = Renamed(o.Session, from, to),
            Device = Renamed(o.Device, from, to),
            Owner = Renamed(o.Owner, from, to),
            Map = Renamed(o.Map, from, to),
            At = Renamed(o.At, from, to),
            Alloc = o.Alloc.IsNone ? default : o.Alloc with { Device = Renamed(o.Alloc.Device, from, to) },
        });

    // Goal: a question about one run is never answered from another, however often it was asked on this connection.
    [StoreFact]
    public async Task One_question_asked_of_two_runs_again_and_again_has_two_answers()
    {
        const int TimesThatAStatementIsPreparedAfter = 10;
        await using var store = await StoreAsync();
        foreach (var name in (string[])[NewName(), NewName()])
        {
            await using (var writer = await store.CreateRunAsync(Info(name), Samples.Objects(), default))
            {
                await writer.SealAsync(Valid(), default);
            }

            await using var reader = await store.OpenRunAsync(name, default);
            for (var i = 0; i < TimesThatAStatementIsPreparedAfter; i++)
            {
                var answer = await reader.QueryAsync("SELECT run FROM v_run", SqlLimits.Default, default);
                Assert.Equal(name, answer.Rows[0][0]);
            }
        }
    }

    [StoreFact]
    public async Task Processes_with_numbers_of_their_own_meet_under_one_name_each()
    {
        await using var store = await StoreAsync();
        var name = NewName();
        var first = Samples.Objects();
        await using var writer = await store.CreateRunAsync(Info(name), first, default);
        var second = new ObjectTable();
        var (client, device) = (second.Intern("client:a"), second.Intern("dev:h/0000:02:00.0"));
        var one = new HistoryBatch(first, 1);
        one.Add(new Operation { Number = 1, Client = first.Find("client:a"), Session = first.Find("session:s") });
        await writer.AppendAsync(one, default);
        var two = new HistoryBatch(second, 2);
        two.Add(new Operation { Number = 2, Client = client, Device = device });
        await writer.AppendAsync(two, default);
        Assert.Equal((1, 0), await writer.CountAsync(1, default));
        Assert.Equal((1, 0), await writer.CountAsync(2, default));
        await writer.SealAsync(Valid(), default);
        await using var reader = await store.OpenRunAsync(name, default);
        var seen = new Collected();
        await reader.StreamUnplacedAsync(seen, default);
        Assert.Equal(["client:a", "client:a"], seen.Operations.Select(o => reader.Objects.Name(o.Client)));
        Assert.Equal("dev:h/0000:02:00.0", reader.Objects.Name(seen.Operations[1].Device));
        Assert.Equal(0, seen.Operations[1].Session);
    }

    [StoreFact]
    public async Task A_stretch_of_a_spool_is_stored_once()
    {
        await using var store = await StoreAsync();
        var objects = Samples.Objects();
        await using var writer = await store.CreateRunAsync(Info(NewName()), objects, default);
        var batch = new HistoryBatch(objects, 1);
        batch.Add(new Operation { Number = 1, Client = 7, Session = 9 });
        batch.Stretches.Add(new SpoolStretch(1, 0, 1, 64, 216));
        await writer.AppendAsync(batch, default);
        await Assert.ThrowsAsync<StorageInvariantException>(() => writer.AppendAsync(batch, default));
        Assert.Equal((1, 0), await writer.CountAsync(1, default));
        Assert.Equal(new SpoolStretch(1, 0, 1, 64, 216), Assert.Single(await writer.StretchesAsync(1, default)));
        Assert.Empty(await writer.StretchesAsync(2, default));
        Assert.Equal([2L, 3, 4, 5, 8], await writer.NumbersMissingAsync([(1, 5), (8, 1)], default));
        Assert.Empty(await writer.NumbersMissingAsync([], default));
    }

    [StoreFact]
    public async Task Findings_evidence_probes_latency_metrics_and_faults_come_back()
    {
        await using var store = await StoreAsync();
        var name = NewName();
        var finding = new Finding(
            "NO-USE-AFTER-REMOVE", FindingClass.Safety, "map:x", "s", "Let \"A\" …",
            ["{\"op\":1}", "{\"ev\":\"reap\"}"])
        {
            Count = 3,
            Remedy = "patch 6",
        };
        await using (var writer = await store.CreateRunAsync(Info(name), Samples.Objects(), default))
        {
            await writer.AddFindingsAsync("online", [finding], default);
            await writer.AddFindingsAsync("stored", [finding with { Remedy = null }], default);
            await writer.AddEvidenceAsync([new RuleEvidence("stored", "NO-OVERLAP", 7, 1, 2)], default);
            await writer.AddProbesAsync([new ProbeCount("alloc-after-kill", 4, true)], default);
            await writer.AddLatencyAsync([new LatencyBucket("alloc/intended", "load", 1, 2, 3)], default);
            await writer.AddMetricsAsync([new MetricPoint(1, "rate", 2.5)], default);
            await writer.AddFaultsAsync([new FaultRecord(1, "kill", "silo-1", "unknown", "t")], default);
            await writer.SealAsync(new RunOutcome(RunVerdict.Invalid, 1), default);
        }

        await using var reader = await store.OpenRunAsync(name, default);
        var findings = await reader.FindingsAsync(default);
        Assert.Equal([(1, "online"), (2, "stored")], findings.Select(f => (f.Id, f.Checker)));
        Assert.Equal(finding.Evidence, findings[0].Finding.Evidence);
        Assert.Equal(finding with { Evidence = [] }, findings[0].Finding with { Evidence = [] });
        Assert.Null(findings[1].Finding.Remedy);
        Assert.Equal([new RuleEvidence("stored", "NO-OVERLAP", 7, 1, 2)], await reader.EvidenceAsync(default));
        Assert.Equal([new ProbeCount("alloc-after-kill", 4, true)], await reader.ProbesAsync(default));
        Assert.Equal([new LatencyBucket("alloc/intended", "load", 1, 2, 3)], await reader.LatencyAsync(default));
        Assert.Equal([new MetricPoint(1, "rate", 2.5)], await reader.MetricsAsync(default));
        Assert.Equal([new FaultRecord(1, "kill", "silo-1", "unknown", "t")], await reader.FaultsAsync(default));
        Assert.Equal(2, reader.Run.Findings);
        Assert.Equal(RunVerdict.Invalid, reader.Run.Outcome!.Verdict);
    }

    [StoreFact]
    public async Task A_run_that_is_going_says_so_is_listed_and_goes_when_it_is_abandoned()
    {
        await using var store = await StoreAsync();
        var name = NewName();
        var writer = await store.CreateRunAsync(Info(name), Samples.Objects(), default);
        var error = await Assert.ThrowsAsync<StorageException>(() => store.OpenRunAsync(name, default));
        Assert.StartsWith($"The run {name} is still going", error.Message, StringComparison.Ordinal);
        Assert.Equal(RunState.Running, (await store.ListRunsAsync(default)).Single(r => r.Info.Run == name).State);
        await Assert.ThrowsAsync<StorageException>(() => store.CreateRunAsync(Info(name), Samples.Objects(), default));
        await writer.DisposeAsync();
        Assert.DoesNotContain(await store.ListRunsAsync(default), r => r.Info.Run == name);
        error = await Assert.ThrowsAsync<StorageException>(() => store.OpenRunAsync(name, default));
        Assert.StartsWith($"There is no run {name}", error.Message, StringComparison.Ordinal);
    }

    [StoreFact]
    public async Task A_dropped_run_is_gone()
    {
        await using var store = await StoreAsync();
        var name = NewName();
        await using (var writer = await store.CreateRunAsync(Info(name), Samples.Objects(), default))
        {
            await writer.SealAsync(Valid(), default);
        }

        Assert.Contains(await store.ListRunsAsync(default), r => r.Info.Run == name && r.State is RunState.Sealed);
        await store.DropRunAsync(name, default);
        Assert.DoesNotContain(await store.ListRunsAsync(default), r => r.Info.Run == name);
        await Assert.ThrowsAsync<StorageException>(() => store.DropRunAsync(name, default));
    }

    // Goal: what was appended to the spool is in the store, exactly, while several threads write.
    [StoreFact]
    public async Task A_drain_ends_with_equal_counts_at_both_ends()
    {
        using var folder = new Folder();
        await using var store = await StoreAsync();
        var name = NewName();
        var objects = Samples.Objects();
        await using var writer = await store.CreateRunAsync(Info(name), objects, default);
        using var spool = SpoolWriter.Create(
            new SpoolOptions(folder.In("spool"), name, 1, "p", "c")
            {
                SegmentBytes = 1 << 18,
                BoundBytes = 1 << 21,
                Stripes = 2
            },
            objects);
        await using var drain = SpoolDrain.Start(spool, writer);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(c => Task.Run(async () =>
        {
            using var numbers = spool.OpenClient(objects.Intern($"client:{c}"), 9);
            for (var i = 0; i < 10_000; i++)
            {
                var op = new Operation
                {
                    Number = numbers.Next(),
                    Client = numbers.Client,
                    Session = 9,
                    Device = 1,
                    At = new Position(1, 1, (c * 10_000L) + i + 1, 1),
                };
                await spool.AppendAsync(op, default);
                if (i % 100 == 0)
                {
                    spool.AppendEvents(
                        [new HistoryEvent
                        {
                            Kind = EventKind.RefKill, At = new Position(2, c + 1, i + 1, 1), Proc = 1
                        }]);
                }
            }
        })));
        var report = await drain.CompleteAsync(default);
        Assert.Equal(new DrainReport(40_000, 40_000, 400, 400, 0), report);
        Assert.True(report.IsExact);
        Assert.False(Directory.Exists(folder.In("spool")));
        await writer.SealAsync(Valid(), default);
        await using var reader = await store.OpenRunAsync(name, default);
        var seen = new Collected();
        await reader.StreamAsync(seen, default);
        Assert.Equal(40_000, seen.Operations.Count);
        Assert.Equal(Enumerable.Range(1, 40_000), seen.Operations.Select(o => (int)o.At.Seq));
    }

    // Goal: a crash of process and store loses nothing that was acknowledged, and invents nothing.
    [StoreFact]
    public async Task A_spool_left_behind_is_recovered_and_reserved_numbers_become_unknown()
    {
        using var folder = new Folder();
        await using var store = await StoreAsync();
        var name = NewName();
        var objects = Samples.Objects();
        var options = new SpoolOptions(folder.In("spool"), name, 1, "p", "c")
        {
            SegmentBytes = 8192,
            NumbersAtOnce = 8,
            Stripes = 1
        };
        await using var writer = await store.CreateRunAsync(Info(name), objects, default);
        using (var spool = SpoolWriter.Create(options, objects))
        {
            var numbers = spool.OpenClient(7, 9);
            for (var i = 0; i < 100; i++)
            {
                spool.Append(
                    new Operation { Number = numbers.Next(), Client = 7, Session = 9, Outcome = OperationOutcome.Ok });
            }

            numbers.Next(); // Reserved and sent, but its answer never came.

            using var reader = SpoolReader.Open(options.Directory); // A drain that was cut off after one batch.
            var batch = new HistoryBatch(reader.Objects, 1);
            Assert.True(reader.Read(batch, 60));
            await writer.AppendAsync(batch, default);
        }

        var report = await SpoolDrain.RecoverAsync(options.Directory, writer, default);
        Assert.Equal(new DrainReport(100, 100, 0, 0, 4), report);
        await writer.SealAsync(Valid(), default);
        await using var stored = await store.OpenRunAsync(name, default);
        var seen = new Collected();
        await stored.StreamUnplacedAsync(seen, default);
        Assert.Equal(Enumerable.Range(1, 104), seen.Operations.Select(o => (int)o.Number));
        Assert.Equal([101, 102, 103, 104],
            seen.Operations.Where(o => o.Outcome is OperationOutcome.Unknown).Select(o => o.Number));
    }

    [StoreTheory]
    [InlineData("SELECT count(*) FROM v_operations", true)]
    [InlineData("WITH a AS (SELECT 1 AS x) SELECT x FROM a;", true)]
    [InlineData("SELECT ';' || 'COPY' -- ; DROP TABLE operations", true)]
    [InlineData("COPY (SELECT 1) TO '/tmp/fleet-sql-escape'", false)]
    [InlineData("ATTACH '/tmp/fleet-sql-escape' AS x", false)]
    [InlineData("SELECT * FROM read_csv('/etc/passwd')", false)]
    [InlineData("SELECT * FROM \"read_csv\"('/etc/passwd')", false)]
    [InlineData("SELECT * FROM '/etc/passwd.csv'", false)]
    [InlineData("CREATE TABLE x (a INT)", false)]
    [InlineData("INSERT INTO operations (number) VALUES (1)", false)]
    [InlineData("WITH x AS (DELETE FROM runs RETURNING *) SELECT * FROM x", false)]
    [InlineData("SET enable_external_access = true", false)]
    [InlineData("SET default_transaction_read_only = off", false)]
    [InlineData("SELECT set_config('transaction_read_only', 'off', false)", false)]
    [InlineData("SELECT pg_read_file('/etc/passwd')", false)]
    [InlineData("SELECT 1; DROP TABLE operations", false)]
    [InlineData("SELECT 1; SELECT 2", false)]
    [InlineData("INSTALL httpfs", false)]
    [InlineData("PRAGMA database_list", false)]
    [InlineData("", false)]
    public async Task A_query_reads_and_does_nothing_else(string sql, bool isAllowed)
    {
        await using var store = await StoreAsync();
        var name = NewName();
        await using (var writer = await store.CreateRunAsync(Info(name), Samples.Objects(), default))
        {
            await writer.SealAsync(Valid(), default);
        }

        await using var reader = await store.OpenRunAsync(name, default);
        if (isAllowed)
        {
            Assert.Single((await reader.QueryAsync(sql, SqlLimits.Default, default)).Rows);
        }
        else
        {
            await Assert.ThrowsAsync<StorageException>(() => reader.QueryAsync(sql, SqlLimits.Default, default));
        }

        Assert.False(File.Exists("/tmp/fleet-sql-escape"));
    }

    [StoreFact]
    public async Task A_query_is_held_to_its_limits()
    {
        await using var store = await StoreAsync();
        var name = NewName();
        await using (var writer = await store.CreateRunAsync(Info(name), Samples.Objects(), default))
        {
            await writer.SealAsync(Valid(), default);
        }

        await using var reader = await store.OpenRunAsync(name, default);
        var cut = await reader.QueryAsync(
            "SELECT * FROM generate_series(1, 100) AS g(x)", SqlLimits.Default with { RowsMax = 10 }, default);
        Assert.True(cut.IsCut);
        Assert.Equal(10, cut.Rows.Count);
        Assert.Equal(1L, cut.Rows[0][0]);
        Assert.Equal("x", cut.Columns[0].Name);
        var error = await Assert.ThrowsAsync<StorageException>(() => reader.QueryAsync(
            "SELECT count(*) FROM generate_series(1, 10000000) AS a(x), generate_series(1, 100000) AS b(y) "
            + "WHERE x * y % 7 = 3",
            new SqlLimits(TimeSpan.FromSeconds(3), 10), default));
        Assert.Contains("took longer than 3 s", error.Message, StringComparison.Ordinal);
    }

    [StoreFact]
    public async Task Views_show_names_and_hexadecimal_addresses()
    {
        await using var store = await StoreAsync();
        var name = NewName();
        var objects = Samples.Objects();
        await using (var writer = await store.CreateRunAsync(Info(name), objects, default))
        {
            var batch = new HistoryBatch(objects, 1);
            batch.Add(new Operation
            {
                Number = 1,
                Client = 7,
                Session = 9,
                Device = 1,
                Kind = OperationKind.Alloc,
                Outcome = OperationOutcome.Fail,
                Err = Errno.ENOMEM,
                At = new Position(1, 1, 5, 2),
                Alloc = new AllocId(1, 1, 3),
                Address = 0xFFFF_FFFF_FFFF_F000,
                SizeBytes = 1UL << 40,
            });
            batch.Events.Add(new HistoryEvent
            {
                Kind = EventKind.MemoryRemove,
                At = new Position(3, 1, 1, 2),
                Actor = "unbind",
                Pfn = 16
            });
            await writer.AppendAsync(batch, default);
            await writer.SealAsync(Valid(), default);
        }

        await using var reader = await store.OpenRunAsync(name, default);
        var op = await reader.QueryAsync(
            "SELECT kind, outcome, err, client, session, device, obj, gen, seq, alloc, address, "
            + "size_bytes FROM v_operations",
            SqlLimits.Default, default);
        Assert.Equal(
            [
                "alloc", "fail", "ENOMEM", "client:a", "session:s", "dev:h/0000:01:00.0", "dev:h/0000:01:00.0", 1L, 5L,
                "dev:h/0000:01:00.0#1#3", "0xfffffffffffff000", 1L << 40,
            ],
            Assert.Single(op.Rows));
        var e = await reader.QueryAsync(
            "SELECT obj, kind, seq, actor, pfn, device FROM v_events", SqlLimits.Default, default);
        Assert.Equal(["map:h/0000:01:00.0/bar4", "memory_remove", 1L, "unbind", "0x10", "dev:h/0000:01:00.0"],
            Assert.Single(e.Rows));
    }
}
