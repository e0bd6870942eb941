using System.Text.RegularExpressions;
using Fleet.Kernel.History;
using Fleet.Storage.Query;
using Fleet.Storage.Results;
using Fleet.Tests;

namespace Fleet.Storage.Tests.Results;

public abstract partial class StoreContract
{
    private static IReadOnlyList<(string Question, string Sql)> Cookbook()
    {
        var text = File.ReadAllText(RepositoryFolder.In("docs", "cookbook.md"));
        return [.. Recipe().Matches(text).Select(m => (m.Groups[1].Value, m.Groups[2].Value))];
    }

    [GeneratedRegex(@"^### (\d+\. [^\n]+)\n```sql\n(.*?)```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Recipe();

    // Goal: the cookbook is true: every query runs in both stores, and finds something where the run has something.
    [StoreFact]
    public async Task Every_query_of_the_cookbook_runs()
    {
        var recipes = Cookbook();
        Assert.Equal(30, recipes.Count);
        var life = new Life();
        Planted["NO-USE-AFTER-REMOVE"](life);
        life.Op(OperationKind.Alloc, Life.Dev, 2, 0x20000, OperationOutcome.Fail, Fleet.Kernel.Errno.ENOMEM);
        life.Op(OperationKind.Alloc, Life.Dev, 3, 0x20000, OperationOutcome.Unknown);
        life.Op(OperationKind.Alloc, Life.Dev, 4, 0x30000);
        life.Op(OperationKind.Free, Life.Dev, 4, 0x30000);
        life.Op(OperationKind.Alloc, Life.Dev, 5, 0x40000);
        life.Event(EventKind.Reap, Life.Dev, e => e with
        {
            Text = "session:t",
            Alloc = new AllocId(Life.Dev, 1, 1),
            SizeBytes = 4096
        });
        life.Event(EventKind.Incarnation, Life.Dev, e => e with { Fn = "failover", Text = "silo-2" }, gen: 2);
        life.Event(EventKind.UnbindBegin, Life.Dev, gen: 2);
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
                    // One slow answer.
                    op.DoneNs += op.Number == life.Records.Count ? 200_000_000 : 0;
                    batch.Add(op);
                }
                else
                {
                    batch.Events.Add((HistoryEvent)record);
                }
            }

            // The position 3 of the pool is missing.
            batch.Events.Add(new HistoryEvent { Kind = EventKind.PoolCreate, At = new Position(4, 1, 2, 1), Proc = 1 });
            var slow = new Operation
            {
                Number = 900,
                Client = 7,
                Session = 9,
                Kind = OperationKind.Bind,
                Outcome = OperationOutcome.Ok,
                DoneNs = 200_000_000
            };
            batch.Add(slow);
            await writer.AppendAsync(batch, default);
            await writer.AddFindingsAsync(
                "stored", [new Finding("R", FindingClass.Safety, "o", "s", "t", [])], default);
            await writer.AddEvidenceAsync([new RuleEvidence("stored", "R", 1, 1, 0)], default);
            await writer.AddProbesAsync([new ProbeCount("never", 0, true)], default);
            await writer.AddLatencyAsync([new LatencyBucket("alloc/intended", "load", 1, 2, 3)], default);
            await writer.AddFaultsAsync([new FaultRecord(1, "kill", "silo-1", "unknown", "t")], default);
            await writer.SealAsync(Valid(), default);
        }

        await using var reader = await store.OpenRunAsync(name, default);
        foreach (var (question, sql) in recipes)
        {
            try
            {
                var table = await reader.QueryAsync(sql, SqlLimits.Default, default);
                Assert.True(table.Rows.Count > 0, $"Nothing answers: {question}");
            }
            catch (StorageException e)
            {
                Assert.Fail($"{question} {e.Message}");
            }
        }
    }

    [StoreTheory]
    [InlineData(ExportFormat.Csv)]
    [InlineData(ExportFormat.Parquet)]
    public async Task An_export_holds_every_row(ExportFormat format)
    {
        using var folder = new Folder();
        var life = new Life();
        Planted["REAP-BEFORE-REMOVE"](life);
        await using var store = await StoreAsync();
        var name = NewName();
        await using (var writer = await store.CreateRunAsync(Info(name), life.Objects, default))
        {
            var batch = new HistoryBatch(life.Objects, 1);
            life.Records.OfType<Operation>().ToList().ForEach(o => batch.Add(o));
            batch.Events.AddRange(life.Records.OfType<HistoryEvent>());
            await writer.AppendAsync(batch, default);
            await writer.SealAsync(Valid(), default);
        }

        await using var reader = await store.OpenRunAsync(name, default);
        var files = await reader.ExportAsync(folder.Path, format, default);
        Assert.Equal(files.Order(), Directory.GetFiles(folder.Path).Order());
        Assert.Equal(life.Records.OfType<Operation>().Count(), await RowsAsync("operations"));
        Assert.Equal(life.Records.OfType<HistoryEvent>().Count(), await RowsAsync("events"));
        Assert.Equal(1, await RowsAsync("run"));

        async Task<long> RowsAsync(string view)
        {
            await using var duck = new DuckDB.NET.Data.DuckDBConnection("Data Source=:memory:");
            await duck.OpenAsync();
            await using var command = duck.CreateCommand();
            var file = folder.In($"{view}.{(format is ExportFormat.Csv ? "csv" : "parquet")}");
            command.CommandText = $"SELECT count(*) FROM '{file}'";
            return (long)(await command.ExecuteScalarAsync())!;
        }
    }
}
