using CsCheck;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Storage.Checks;
using Fleet.Storage.Query;
using Fleet.Storage.Results;

namespace Fleet.Storage.Tests.Results;

public abstract partial class StoreContract
{
    /// <summary>One life of one device as the profile CLEAN has it, with hooks to break it.</summary>
    private sealed class Life
    {
        private readonly Dictionary<(int, int), long> _seqs = [];
        private long _time;

        public ObjectTable Objects { get; } = Samples.Objects();

        public List<object> Records { get; } = [];

        public const int Dev = 1;
        public const int Ref = 2;
        public const int Map = 3;

        public void Event(EventKind kind, int obj, Func<HistoryEvent, HistoryEvent>? with = null, int gen = 1)
        {
            var e = new HistoryEvent { Kind = kind, At = At(obj, gen), Proc = 1, TimeNs = _time += 10 };
            Records.Add(with?.Invoke(e) ?? e);
        }

        public Operation Op(
            OperationKind kind, int obj, long alloc, ulong address = 0, OperationOutcome outcome = OperationOutcome.Ok,
            Errno err = Errno.OK, int client = 7, int gen = 1)
        {
            var sent = _time += 10;
            var op = new Operation
            {
                Number = Records.Count + 1,
                Kind = kind,
                Client = client,
                Session = 9,
                Device = Dev,
                Outcome = outcome,
                Err = err,
                IntendedNs = sent,
                SentNs = sent,
                DoneNs = _time += 5,
                At = outcome is OperationOutcome.Unknown ? default : At(obj, gen),
                Alloc = new AllocId(Dev, 1, alloc),
                Address = address,
                SizeBytes = address == 0 ? 0UL : 8192,
                Map = kind is OperationKind.Access ? Map : 0,
                PageCount = kind is OperationKind.Access ? 1 : 0,
                Owner = kind is OperationKind.Alloc ? Ref : 0,
            };
            Records.Add(op);
            return op;
        }

        public void Bind()
        {
            Event(EventKind.Incarnation, Dev);
            Event(EventKind.Incarnation, Map);
            Event(EventKind.BindBegin, Dev);
            Event(EventKind.ObjAlloc, Dev, e => e with { Other = 4, Text = "p2p_pgmap" });
            Event(EventKind.DevresAdd, Dev, e => e with { Node = 1, Text = "action", Fn = "release" });
            Event(EventKind.MemoryAdd, Map, e => e with { Pfn = 16, Count = 64 });
            Event(EventKind.ChunkAdd, Dev, e => e with { Start = 0x10000, SizeBytes = 0x40000, Other = Ref });
            Event(EventKind.BindEnd, Dev);
        }

        public void Teardown(bool runs = true, bool frees = true, bool ends = true)
        {
            Event(EventKind.UnbindBegin, Dev);
            if (!ends)
            {
                return;
            }

            if (runs)
            {
                Event(EventKind.DevresRun, Dev, e => e with { Node = 1, Fn = "release" });
            }

            Event(EventKind.TeardownBegin, Dev, e => e with { Other = Map, Start = 0x10000, SizeBytes = 0x40000 });
            Event(EventKind.MemoryRemove, Map, e => e with { Pfn = 16, Count = 64 });
            Event(EventKind.TeardownEnd, Dev, e => e with { Other = Map, Start = 0x10000, SizeBytes = 0x40000 });
            if (frees)
            {
                Event(EventKind.ObjFree, Dev, e => e with { Other = 4, Text = "p2p_pgmap" });
            }

            Event(EventKind.UnbindEnd, Dev);
        }

        private Position At(int obj, int gen)
        {
            var seq = _seqs[(obj, gen)] = _seqs.GetValueOrDefault((obj, gen)) + 1;
            return new Position(obj, gen, seq, 1);
        }
    }

    private static readonly Dictionary<string, Action<Life>> Planted = new()
    {
        ["NO-USE-AFTER-REMOVE"] = life =>
        {
            life.Bind();
            life.Op(OperationKind.Alloc, Life.Dev, 1, 0x10000);
            life.Op(OperationKind.Access, Life.Map, 1);
            life.Teardown();
            life.Op(OperationKind.Access, Life.Map, 1, outcome: OperationOutcome.Fail, err: Errno.EFAULT);
        },
        ["REAP-BEFORE-REMOVE"] = life =>
        {
            life.Bind();
            life.Op(OperationKind.Alloc, Life.Dev, 1, 0x10000);
            life.Teardown();
            life.Op(OperationKind.Free, Life.Dev, 1, 0x10000);
        },
        ["NO-OVERLAP"] = life =>
        {
            life.Bind();
            life.Op(OperationKind.Alloc, Life.Dev, 1, 0x10000);
            life.Op(OperationKind.Alloc, Life.Dev, 2, 0x11000, client: 8);
            life.Op(OperationKind.Free, Life.Dev, 1, 0x10000);
            life.Op(OperationKind.Free, Life.Dev, 2, 0x11000, client: 8);
            life.Teardown();
        },
        ["UNBIND-LIVE"] = life =>
        {
            life.Bind();
            life.Op(OperationKind.Alloc, Life.Dev, 1, 0x10000);
            life.Op(OperationKind.Free, Life.Dev, 1, 0x10000);
            life.Teardown(ends: false);
        },
        ["NO-LEAK"] = life =>
        {
            life.Bind();
            life.Teardown(frees: false);
        },
        ["EXACTLY-ONCE"] = life =>
        {
            life.Bind();
            life.Teardown();
            life.Event(EventKind.DevresRun, Life.Dev, e => e with { Node = 1 });
        },
        ["ONE-INCARNATION"] = life =>
        {
            life.Bind();
            life.Op(OperationKind.Alloc, Life.Dev, 1, 0x10000, gen: 2);
            life.Op(OperationKind.Alloc, Life.Dev, 2, 0x20000, gen: 1);
        },
    };

    private async Task<IReadOnlyList<SqlRuleResult>> CheckedAsync(
        Life life, bool isComplete = true, Func<IRunReader, Task>? look = null)
    {
        await using var store = await StoreAsync();
        var name = NewName();
        await using (var writer = await store.CreateRunAsync(Info(name), life.Objects, default))
        {
            await writer.AddProcessAsync(new ProcessInfo(1, "p", "c", "h", 1), default);
            var batch = new HistoryBatch(life.Objects, 1);
            foreach (var record in life.Records)
            {
                if (record is Operation op)
                {
                    batch.Add(op);
                }
                else
                {
                    batch.Events.Add((HistoryEvent)record);
                }
            }

            await writer.AppendAsync(batch, default);
            var unsealed = await SqlChecks.RunAsync(writer.Reader, isComplete, true, SqlLimits.Default, default);
            await writer.SealAsync(Valid(), default);
            await using var reader = await store.OpenRunAsync(name, default);
            var results = await SqlChecks.RunAsync(reader, isComplete, true, SqlLimits.Default, default);
            Assert.Equal(unsealed.Select(r => (r.Rule, r.Violated, r.Excused)),
                results.Select(r => (r.Rule, r.Violated, r.Excused)));
            if (look is not null)
                await look(reader);
            return results;
        }
    }

    // Goal: each SQL check finds the history that was planted for it, and only that one fails.
    [StoreTheory]
    [InlineData("NO-USE-AFTER-REMOVE")]
    [InlineData("REAP-BEFORE-REMOVE")]
    [InlineData("NO-OVERLAP")]
    [InlineData("UNBIND-LIVE")]
    [InlineData("NO-LEAK")]
    [InlineData("EXACTLY-ONCE")]
    [InlineData("ONE-INCARNATION")]
    public async Task A_planted_history_fails_its_sql_check(string rule)
    {
        var life = new Life();
        Planted[rule](life);
        var results = await CheckedAsync(life);
        var found = results.Where(r => r.Violated > 0).Select(r => r.Rule).ToList();
        Assert.Contains(rule, found);
        Assert.Single(results.Single(r => r.Rule == rule).Examples);
        string[] companions = rule is "NO-USE-AFTER-REMOVE" ? ["REAP-BEFORE-REMOVE"] : [];
        Assert.Empty(found.Except([rule, .. companions]));

        // Neither checker may go its own way: each difference is told.
        Assert.NotEmpty(SqlChecks.Disagreements(results, []));
        var same = results.Select(r => r.Evidence with { Checker = "stored" }).ToList();
        Assert.Empty(SqlChecks.Disagreements(results, same));
        var blind = results.Select(r => r with { Violated = 0 }).ToList();
        Assert.NotEmpty(SqlChecks.Disagreements(blind, same));
    }

    private static readonly Gen<List<(int First, int Pages, bool IsFreed)>> Neighbours = Gen.Select(
        Gen.Int[0, 40], Gen.Int[1, 40], Gen.Bool).List[2, 5];

    // Goal: NO-OVERLAP in SQL is the same as to compare each two allocations of a life, page by page.
    [StoreFact]
    public async Task Overlaps_are_those_of_each_two_allocations() =>
        await Neighbours.List[150].SampleAsync(
            async lives =>
            {
                var life = new Life();
                var expected = new List<(long Life, long Seq, long Address)>();
                foreach (var (number, allocations) in lives.Index())
                {
                    var live = new List<(int First, int Pages)>();
                    foreach (var (first, pages, isFreed) in allocations)
                    {
                        Record(OperationKind.Alloc, number, first, pages);
                        var met = Enumerable.Range(first, pages)
                            .Where(page => live.Exists(one => page >= one.First && page < one.First + one.Pages))
                            .ToList();
                        if (met.Count > 0)
                            expected.Add((number + 1, life.Records.Count, (long)Address(met[0])));
                        if (isFreed)
                            Record(OperationKind.Free, number, first, pages, life.Records.Count);
                        else
                            live.Add((first, pages));
                    }
                }

                await CheckedAsync(life, look: async reader =>
                {
                    var found = await reader.QueryAsync(
                        "SELECT life, number, address FROM c_overlaps ORDER BY number",
                        SqlLimits.Default with { RowsMax = 1000 }, default);
                    Assert.Equal(expected, found.Rows.Select(
                        row => (Convert.ToInt64(row[0]), Convert.ToInt64(row[1]), Convert.ToInt64(row[2]))));
                });

                void Record(OperationKind kind, int number, int first, int pages, long? of = null)
                {
                    var op = life.Op(kind, Life.Dev, of ?? life.Records.Count + 1, Address(first));
                    life.Records[^1] = op with
                    {
                        At = op.At with { Life = number + 1 },
                        SizeBytes = (ulong)pages * 4096,
                    };
                }
            },
            iter: 3, threads: 1);

    private static ulong Address(int page) => 0x40_0000_3000 + ((ulong)page * 4096);

    [StoreTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_pin_is_judged_on_its_page_map_alone(bool isPutFirst)
    {
        var life = new Life();
        life.Bind();
        life.Event(EventKind.PageGet, Life.Map, e => e with { Pfn = 17, Count = 2, Alloc = new(Life.Dev, 1, 5) });
        life.Op(OperationKind.Access, Life.Map, 5);
        if (isPutFirst)
        {
            Put();
            life.Teardown();
        }
        else
        {
            life.Teardown();
            life.Op(OperationKind.Access, Life.Map, 5, outcome: OperationOutcome.Fail, err: Errno.EFAULT);
            Put();
        }

        var results = await CheckedAsync(life);
        Assert.Equal(isPutFirst ? 0 : 2, results.Single(r => r.Rule == "NO-USE-AFTER-REMOVE").Violated);
        Assert.Equal(isPutFirst ? 0 : 1, results.Single(r => r.Rule == "REAP-BEFORE-REMOVE").Violated);

        void Put() => life.Event(
            EventKind.PagePut, Life.Map, e => e with { Pfn = 17, Count = 1, Alloc = new(Life.Dev, 1, 5) });
    }

    [StoreFact]
    public async Task A_clean_life_fails_no_sql_check()
    {
        var life = new Life();
        life.Bind();
        for (var i = 1; i <= 3; i++)
        {
            life.Op(OperationKind.Alloc, Life.Dev, i, 0x10000);
            life.Op(OperationKind.Access, Life.Map, i);
            life.Op(OperationKind.Free, Life.Dev, i, 0x10000);
        }

        life.Teardown();
        var results = await CheckedAsync(life);
        Assert.Equal(SqlChecks.RuleNames, results.Select(r => r.Rule));
        Assert.All(results, r => Assert.Equal((0, 0), (r.Violated, r.Excused)));
        Assert.Empty(SqlChecks.Disagreements(results, []));
    }

    [StoreFact]
    public async Task An_unanswered_free_and_a_clients_own_misuse_excuse_what_follows()
    {
        var life = new Life();
        life.Bind();
        life.Op(OperationKind.Alloc, Life.Dev, 1, 0x10000);
        life.Op(OperationKind.Free, Life.Dev, 1, 0x10000, outcome: OperationOutcome.Unknown);
        life.Teardown();
        life.Op(OperationKind.Access, Life.Map, 1, outcome: OperationOutcome.Fail, err: Errno.EFAULT);
        var results = await CheckedAsync(life);
        Assert.All(results, r => Assert.Equal(0, r.Violated));
        Assert.Equal(1, results.Single(r => r.Rule == "REAP-BEFORE-REMOVE").Excused);
        Assert.Equal(1, results.Single(r => r.Rule == "NO-USE-AFTER-REMOVE").Excused);
    }

    // Rules about reaping do not apply to a life that ended by a fence, whoever recorded that: the incarnation of the
    // life itself (its device was pulled out), or the one that took over from it, which fences before it binds.
    [StoreTheory]
    [InlineData(1, true)]
    [InlineData(2, true)]
    [InlineData(3, true)]
    [InlineData(2, false)]
    public async Task A_life_that_a_fence_ended_is_exempt_from_reaping(int fencedBy, bool isFencedFirst)
    {
        var life = new Life();
        life.Bind();
        life.Op(OperationKind.Alloc, Life.Dev, 1, 0x10000);
        life.Event(EventKind.UnbindBegin, Life.Dev);
        life.Event(EventKind.DevresRun, Life.Dev, e => e with { Node = 1, Fn = "release" });
        life.Event(
            EventKind.TeardownBegin, Life.Dev, e => e with { Other = Life.Map, Start = 0x10000, SizeBytes = 0x40000 });
        life.Event(
            EventKind.TeardownEnd, Life.Dev, e => e with { Other = Life.Map, Start = 0x10000, SizeBytes = 0x40000 });
        for (var gen = 2; gen <= fencedBy; gen++)
        {
            life.Event(EventKind.Incarnation, Life.Dev, e => e with { Fn = "failover" }, gen);
        }

        if (!isFencedFirst)
        {
            life.Event(EventKind.BindBegin, Life.Dev, gen: fencedBy);
        }

        life.Event(EventKind.Fenced, Life.Dev, gen: fencedBy);

        var results = await CheckedAsync(life);
        Assert.Equal(isFencedFirst ? 0 : 1, results.Single(r => r.Rule == "REAP-BEFORE-REMOVE").Violated);
    }

    [StoreFact]
    public async Task A_free_that_a_later_incarnation_answered_with_gone_may_have_taken_effect()
    {
        var life = new Life();
        life.Bind();
        life.Op(OperationKind.Alloc, Life.Dev, 1, 0x10000);
        life.Op(OperationKind.Free, Life.Dev, 1, 0x10000, outcome: OperationOutcome.Fail, err: Errno.ENODEV);
        life.Records[^1] = (Operation)life.Records[^1] with { At = default };
        life.Teardown();

        var results = await CheckedAsync(life);
        Assert.Equal(
            (0, 1), results.Where(r => r.Rule == "REAP-BEFORE-REMOVE").Select(r => (r.Violated, r.Excused)).Single());
    }

    [StoreFact]
    public async Task A_query_that_found_the_free_stands_for_it()
    {
        var life = new Life();
        life.Bind();
        life.Op(OperationKind.Alloc, Life.Dev, 1, 0x10000);
        var lost = life.Op(OperationKind.Free, Life.Dev, 1, 0x10000, outcome: OperationOutcome.Unknown);
        var query = life.Op(OperationKind.Query, Life.Dev, 1);
        life.Records[^1] = query with { Of = lost.Number };
        life.Teardown();
        var results = await CheckedAsync(life);
        Assert.All(results, r => Assert.Equal((0, 0), (r.Violated, r.Excused)));
    }

    [StoreFact]
    public async Task A_query_that_a_later_incarnation_answered_has_the_position_of_what_it_found()
    {
        var life = new Life();
        life.Bind();
        life.Op(OperationKind.Alloc, Life.Dev, 1, 0x10000, gen: 2);
        life.Op(OperationKind.Query, Life.Dev, 1, gen: 1);
        var results = await CheckedAsync(life);
        Assert.Equal(0, results.Single(r => r.Rule == "ONE-INCARNATION").Violated);
    }

    [StoreFact]
    public async Task In_an_incomplete_history_everything_is_excused()
    {
        var life = new Life();
        Planted["REAP-BEFORE-REMOVE"](life);
        var results = await CheckedAsync(life, isComplete: false);
        Assert.Equal(
            (0, 1), results.Where(r => r.Rule == "REAP-BEFORE-REMOVE").Select(r => (r.Violated, r.Excused)).Single());
    }

    [StoreFact]
    public async Task The_name_tables_of_the_views_are_those_of_the_code()
    {
        await using var store = await StoreAsync();
        var name = NewName();
        await using var writer = await store.CreateRunAsync(Info(name), Samples.Objects(), default);
        await writer.SealAsync(Valid(), default);
        await using var reader = await store.OpenRunAsync(name, default);
        Assert.Equal(
            Enum.GetValues<EventKind>().Where(k => k is not EventKind.None)
                .Select(k => ((long)k, EventKinds.WireName(k))),
            await PairsAsync("d_event_kinds"));
        Assert.Equal(
            Enum.GetValues<Errno>().Where(e => e is not Errno.OK).Select(e => ((long)e, e.ToString())).Order(),
            await PairsAsync("d_errnos"));
        Assert.Equal(
            Enum.GetValues<ObjectKind>().Select(k => ((long)k, k.ToString().ToLowerInvariant())),
            await PairsAsync("d_object_kinds"));
        Assert.Equal(
            Enum.GetValues<OperationKind>().Where(k => k is not OperationKind.None)
                .Select(
                    k => ((long)k, k is OperationKind.AddResource ? "add_resource" : k.ToString().ToLowerInvariant())),
            await PairsAsync("d_operation_kinds"));

        async Task<IEnumerable<(long, string)>> PairsAsync(string view) =>
            (await reader.QueryAsync($"SELECT id, name FROM {view} ORDER BY id", SqlLimits.Default, default))
                .Rows.Select(r => ((long)r[0]!, (string)r[1]!));
    }
}
