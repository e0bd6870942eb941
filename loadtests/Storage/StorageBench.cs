using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using Fleet.Checking;
using Fleet.Kernel.History;
using Fleet.LoadTests.Checking;
using Fleet.LoadTests.Measuring;
using Fleet.LoadTests.Startup;
using Fleet.Storage.Checks;
using Fleet.Storage.Cluster;
using Fleet.Storage.Query;
using Fleet.Storage.Results;

namespace Fleet.LoadTests.Storage;

/// <summary>PostgreSQL: ingest beside psql's own binary copy of the same rows, room, verdict, transitions.</summary>
/// <remarks>On a private server of its own with its own defaults; rates are of wall time, since most of the work is
/// done by other processes.</remarks>
internal static class StorageBench
{
    public const string Name = "storage";

    private const int RowsAtOnce = 120_000;
    private const int ObjectsInFlight = 256;

    /// <summary>Commits wait for the disk, and nothing is gained by doing so for long.</summary>
    private const double WallTimesMax = 2;

    public static async IAsyncEnumerable<Line> RunAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        await using var database = await MeasuredDatabase.StartAsync(Name, ct);
        await using var store = await ResultStores.OpenAsync(StoreAddress.Parse(database.Address), ct);
        var psql = new Psql(database.Status, database.Folder);
        var records = isQuick ? 200_000 : 2_000_000;
        Func<Task<IReadOnlyList<Line>>>[] parts =
        [
            () => IngestAsync(store, psql, database, isQuick, ct),
            () => TransitionsAsync(store, database, isQuick, ct),
            () => RoomAndVerdictAsync(store, psql, database, isQuick ? 500_000 : 10_000_000, ct),
            () => StoredRunAsync(store, "PostgreSQL", records, ct),
            () => EmbeddedAsync(Path.Combine(database.Folder, "embedded"), records, ct),
        ];
        foreach (var part in parts)
        {
            foreach (var line in await part())
            {
                yield return line;
            }
        }
    }

    private static async Task<IReadOnlyList<Line>> IngestAsync(
        IResultStore store, Psql psql, MeasuredDatabase database, bool isQuick, CancellationToken ct)
    {
        var history = new SyntheticHistory();
        await using var writer = await store.CreateRunAsync(new RunInfo("ingest"), history.Objects, ct);
        var batch = history.Next(RowsAtOnce, 1);
        await writer.AppendAsync(batch, ct);
        var table = $"operations_{await psql.RunIdAsync("ingest", ct)}";
        await psql.ExportAsync($"SELECT * FROM {table} LIMIT {batch.OperationCount}", ct);
        var comparisons = await Interleaved.RunAsync(
            Name,
            new("psql \\copy, binary", Repeat(async () => await psql.CopyAsync(table, ct), batch.OperationCount))
            {
                AfterRound = Empty,
            },
            [
                new("COPY, one connection", Repeat(() => writer.AppendAsync(batch, ct), batch.OperationCount))
                {
                    AfterRound = Empty,
                },
                new(
                    "COPY, two connections",
                    Repeat(
                        () => Task.WhenAll(
                            Task.Run(() => writer.AppendAsync(batch, ct), ct),
                            Task.Run(() => writer.AppendAsync(batch, ct), ct)),
                        batch.OperationCount * 2))
                {
                    AfterRound = Empty,
                },
            ],
            TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(isQuick ? 0.5 : 1), isQuick ? 3 : 5, () => UseOf(database),
            WallTimesMax, ct: ct);
        return
        [
            .. comparisons.Select(comparison => Wall(
                comparison, "rows/s",
                comparison.Contender.Contains("one", StringComparison.Ordinal) ? "0.9 of psql's" : "",
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"by processor time, server and client together, {comparison.Ratio:0.00} "
                    + $"({comparison.Ratios[0]:0.00}-{comparison.Ratios[^1]:0.00}); own CPU {Own(comparison):N0} "
                    + $"ns/row, batches of {batch.OperationCount:N0}"))),
        ];

        // No round finds the rows of the one before it.
        void Empty() => psql.ExecuteAsync($"TRUNCATE {table}", ct).GetAwaiter().GetResult();
    }

    private static async Task<IReadOnlyList<Line>> TransitionsAsync(
        IResultStore store, MeasuredDatabase database, bool isQuick, CancellationToken ct)
    {
        var objects = new ObjectTable();
        await using var writer = await store.CreateRunAsync(new RunInfo("transitions"), objects, ct);
        await using var log = PostgresLifecycle.Open(store, writer, "transitions", objects, 1);
        var names = Enumerable.Range(0, ObjectsInFlight).Select(i => $"dev:bench/0000:{i:x2}:00.0").ToArray();
        var gens = await Task.WhenAll(names.Select(async name => (await log.BeginAsync(name)).Gen));
        var seqs = new long[names.Length];
        var comparisons = await Interleaved.RunAsync(
            Name,
            new("one after another", Timed(duration => CommitAsync(0, duration))),
            [
                new(
                    string.Create(CultureInfo.InvariantCulture, $"{ObjectsInFlight} objects, group commit"),
                    Timed(async duration => (await Task.WhenAll(
                        Enumerable.Range(0, names.Length).Select(i => CommitAsync(i, duration)))).Sum())),
            ],
            TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(isQuick ? 0.5 : 1), isQuick ? 3 : 5, () => UseOf(database),
            WallTimesMax, ct: ct);
        return [.. comparisons.Select(c => Wall(c, "transitions/s", "", "one event each, durable before the answer"))];

        async Task<long> CommitAsync(int place, TimeSpan duration)
        {
            var began = Stopwatch.GetTimestamp();
            var count = 0L;
            for (; Stopwatch.GetElapsedTime(began) < duration; count++)
            {
                await log.CommitAsync(
                [
                    new HistoryEvent
                    {
                        Kind = EventKind.TeardownBegin,
                        At = new(objects.Intern(names[place]), gens[place], ++seqs[place], 1),
                        Proc = 1,
                    },
                ]);
            }

            return count;
        }
    }

    private static async Task<IReadOnlyList<Line>> RoomAndVerdictAsync(
        IResultStore store, Psql psql, MeasuredDatabase database, int operations, CancellationToken ct)
    {
        var history = new SyntheticHistory();
        await using var writer = await store.CreateRunAsync(new RunInfo("verdict"), history.Objects, ct);
        await writer.AppendAsync(history.Begin(), ct);
        var loading = Stopwatch.StartNew();
        for (var left = operations; left > 0; left -= RowsAtOnce)
        {
            await writer.AppendAsync(history.Next(Math.Min(left, RowsAtOnce), 1), ct);
        }

        var loaded = loading.Elapsed.TotalSeconds;
        await writer.SealAsync(
            new(RunVerdict.Valid, 0) { Complete = true, Quiescent = true, EndedAt = DateTimeOffset.UtcNow }, ct);
        var table = $"operations_{await psql.RunIdAsync("verdict", ct)}";
        var count = await psql.NumberAsync($"SELECT count(*) FROM {table}", ct);
        var heap = await psql.NumberAsync($"SELECT pg_table_size('{table}')", ct);
        var indexes = await psql.NumberAsync($"SELECT pg_indexes_size('{table}')", ct);
        await using var reader = await store.OpenRunAsync("verdict", ct);
        var before = database.CpuSeconds;
        var judging = Stopwatch.StartNew();
        var results = await SqlChecks.RunAsync(reader, true, true, new SqlLimits(TimeSpan.FromMinutes(10), 10), ct);
        var seconds = judging.Elapsed.TotalSeconds;
        var cpu = database.CpuSeconds - before;
        return
        [
            Single("room in the heap", (double)heap / count, "B/operation", "at most 96", ""),
            Single("room with the sealed indexes", (double)(heap + indexes) / count, "B/operation", "at most 130", ""),
            Single(
                "SQL verdict", seconds, "s", "under 60 s for 10 million",
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{count:N0} operations, {results.Sum(rule => rule.Violated)} violated; loaded in {loaded:N0} s")),
            Single("SQL verdict, CPU of the server", cpu, "CPU-s", "", "every process of it; the machine may be busy"),
        ];
    }

    private static async Task<IReadOnlyList<Line>> EmbeddedAsync(string folder, int records, CancellationToken ct)
    {
        await using var store = await ResultStores.OpenAsync(StoreAddress.Parse(folder), ct);
        var lines = await StoredRunAsync(store, "DuckDB", records, ct);
        var bytes = new DirectoryInfo(folder).EnumerateFiles().Sum(file => file.Length);
        return [.. lines, Single("room in a DuckDB file", (double)bytes / records, "B/record", "", "")];
    }

    /// <summary>A run with lives that begin and end, judged by the SQL and by the rules from the same store.</summary>
    private static async Task<IReadOnlyList<Line>> StoredRunAsync(
        IResultStore store, string name, int records, CancellationToken ct)
    {
        const int Devices = 1000;
        var objects = new ObjectTable();
        var count = 0L;
        await using (var writer = await store.CreateRunAsync(
            new RunInfo("lives") { Profile = "ALL", Clock = "monotonic:bench" }, objects, ct))
        {
            var batch = new HistoryBatch(objects, 1);
            foreach (var record in CheckerHistory.Records(objects, records, Devices))
            {
                count++;
                if (record.Event is { } happened)
                {
                    batch.Events.Add(happened);
                }
                else
                {
                    batch.Add(record.Operation);
                }

                if (batch.Rows >= RowsAtOnce)
                {
                    await writer.AppendAsync(batch, ct);
                    batch.Clear();
                }
            }

            await writer.AppendAsync(batch, ct);
            await writer.SealAsync(
                new(RunVerdict.Valid, 0) { Complete = true, Quiescent = true, EndedAt = DateTimeOffset.UtcNow }, ct);
        }

        await using var reader = await store.OpenRunAsync("lives", ct);
        var sql = Stopwatch.StartNew();
        var found = await SqlChecks.RunAsync(reader, true, true, new SqlLimits(TimeSpan.FromMinutes(10), 10), ct);
        sql.Stop();
        var rules = Stopwatch.StartNew();
        var judge = new Judge(new HistoryChecker(CheckerHistory.Header, reader.Objects, []));
        await reader.StreamUnplacedAsync(judge, ct);
        await reader.StreamAsync(judge, ct);
        var report = judge.Finish();
        rules.Stop();
        var notes = string.Create(
            CultureInfo.InvariantCulture,
            $"{count:N0} records; violated: {found.Sum(rule => rule.Violated)} by the SQL, "
            + $"{report.Rules.Sum(rule => rule.Violated)} by the rules");
        return
        [
            Single($"SQL verdict of a stored run, {name}", sql.Elapsed.TotalSeconds, "s", "", notes),
            Single(
                $"rules over a stored run, {name}", count / rules.Elapsed.TotalSeconds, "records/s", "",
                string.Create(CultureInfo.InvariantCulture, $"{rules.Elapsed.TotalSeconds:N1} s of wall time")),
        ];
    }

    /// <summary>Of the server and of every psql that ended.</summary>
    private static Task<Use> UseOf(MeasuredDatabase database) =>
        Task.FromResult(new Use(database.CpuSeconds + ProcessTimes.OfReapedChildren(), 0));

    private static double Own(Comparison comparison) =>
        Comparison.Median(comparison.Rounds.Select(round => round.CpuSeconds / round.Operations)) * 1e9;

    private static Func<TimeSpan, Task<long>> Repeat(Func<Task> act, long rows) => async duration =>
    {
        var began = Stopwatch.GetTimestamp();
        var done = 0L;
        do
        {
            await act();
            done += rows;
        }
        while (Stopwatch.GetElapsedTime(began) < duration);
        return done;
    };

    private static Func<TimeSpan, Task<long>> Timed(Func<TimeSpan, Task<long>> run) => duration => run(duration);

    private static Line Wall(Comparison comparison, string unit, string aim, string notes)
    {
        var ratios = comparison.Rounds.Zip(comparison.FloorRounds, (own, floor) => own.PerSecond / floor.PerSecond)
            .Order().ToArray();
        return new(
            comparison.Benchmark, comparison.Contender,
            Comparison.Median(comparison.Rounds.Select(round => round.PerSecond)), unit, comparison.Floor,
            Comparison.Median(comparison.FloorRounds.Select(round => round.PerSecond)), Comparison.Median(ratios),
            ratios[0], ratios[^1], aim, notes);
    }

    private static Line Single(string what, double figure, string unit, string aim, string notes) =>
        new(Name, what, figure, unit, null, null, null, null, null, aim, notes);

    private sealed class Judge(HistoryChecker checker) : IHistorySink
    {
        public void Observe(HistoryEvent record) => checker.Add(record);

        public void Observe(in Operation record) => checker.Add(record);

        public CheckReport Finish() => checker.Finish();
    }
}
