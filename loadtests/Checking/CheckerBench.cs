using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using Fleet.Checking;
using Fleet.Checking.History;
using Fleet.Checking.Traces;
using Fleet.Kernel.History;
using Fleet.LoadTests.Measuring;

namespace Fleet.LoadTests.Checking;

/// <summary>What judging costs: a history from memory, a long one, a file, a trace, and online.</summary>
/// <remarks>
/// The floor of each is a plain pass over the same records, or the same bytes, that sums one field: what nobody can
/// be faster than. Peak memory is that of the whole process: its benchmark runs alone.
/// </remarks>
internal static class CheckerBench
{
    public const string Name = "checker";

    public const string MemoryName = Name + "-memory";

    private const int RecordsInMemory = 1_000_000;
    private const int FewRecords = 200_000;

    public static Task<IReadOnlyList<Line>> MemoryAsync(bool isQuick, CancellationToken ct) =>
        Task.FromResult<IReadOnlyList<Line>>([Memory(isQuick ? 2_000_000 : 100_000_000, ct)]);

    public static async IAsyncEnumerable<Line> RunAsync(bool isQuick, [EnumeratorCancellation] CancellationToken ct)
    {
        var (round, rounds) = (TimeSpan.FromSeconds(isQuick ? 0.2 : 1), isQuick ? 3 : 5);
        var objects = new ObjectTable();
        var records = CheckerHistory.Records(
            objects, isQuick ? FewRecords : RecordsInMemory, devices: 200).ToArray();
        Contender[] offline =
        [
            new("offline, one thread", d => Passes(d, records.Length, () => Judge(objects, records))),
            new("offline, two threads judging",
                d => Passes(d, records.Length, () => JudgeShared(objects, records, 2))),
        ];
        foreach (var one in await Interleaved.RunAsync(
            Name, Floor(records), offline, round / 2, round, rounds, ct: ct))
        {
            yield return Line.Of(one, "3 M events/s and core");
        }

        var file = Written(objects, records);
        foreach (var one in await Interleaved.RunAsync(
            Name, Bytes("sum of the bytes of the file", file, records.Length),
            [new("history file, JSON Lines", d => Passes(d, records.Length, () => JudgeFile(file)))],
            round / 2, round, rounds, ct: ct))
        {
            yield return Line.Of(one, "");
        }

        var (trace, traceLines) = Trace(isQuick ? 400 : 2_000);
        foreach (var one in await Interleaved.RunAsync(
            Name, Bytes("sum of the bytes of the trace", trace, traceLines),
            [new("kernel trace, lines", d => Passes(
                d, traceLines, () => KernelTrace.Check(new MemoryStream(trace))))],
            round / 2, round, rounds, ct: ct))
        {
            yield return Line.Of(one, "500 k lines/s");
        }

        var hot = records.Where(r => r.Event is null && r.Operation.Kind is not OperationKind.Access)
            .Select(r => r.Operation).Take(400_000).ToArray();
        foreach (var one in await Interleaved.RunAsync(
            Name, new("sum of seq of the operations", d => Passes(d, hot.Length, () => Sum(hot))),
            [new("online, alloc and free", d => Passes(d, hot.Length, () => Online(objects, hot)))],
            round / 2, round, rounds, ct: ct))
        {
            yield return Line.Of(one, "under 350 ns/op", string.Create(
                CultureInfo.InvariantCulture, $"= {1e9 / one.Figure:0} ns/op"));
        }

        yield return Latency(objects, hot);
    }

    private static Contender Floor(HistoryRecord[] records) => new(
        "sum of seq of the same records", d => Passes(d, records.Length, () =>
        {
            var sum = 0L;
            foreach (ref readonly var record in records.AsSpan())
            {
                sum += record.At.Seq;
            }

            return sum;
        }));

    private static Contender Bytes(string name, byte[] bytes, long count) => new(
        name, d => Passes(d, count, () =>
        {
            var sum = 0L;
            foreach (var value in bytes)
            {
                sum += value;
            }

            return sum;
        }));

    private static Task<long> Passes<T>(TimeSpan duration, long count, Func<T> pass)
    {
        var done = 0L;
        for (var clock = Stopwatch.StartNew(); clock.Elapsed < duration; done += count)
        {
            GC.KeepAlive(pass());
        }

        return Task.FromResult(done);
    }

    private static CheckReport Judge(ObjectTable objects, HistoryRecord[] records)
    {
        var checker = new HistoryChecker(CheckerHistory.Header, objects, []);
        foreach (ref readonly var record in records.AsSpan())
        {
            checker.Add(record);
        }

        return Valid(checker.Finish());
    }

    private static CheckReport JudgeShared(ObjectTable objects, HistoryRecord[] records, int workers)
    {
        using var checker = new ParallelChecker(CheckerHistory.Header, objects, [], workers);
        foreach (ref readonly var record in records.AsSpan())
        {
            checker.Add(record);
        }

        return Valid(checker.Finish());
    }

    private static CheckReport JudgeFile(byte[] file) =>
        Valid(HistoryFile.Check(new MemoryStream(file), new ObjectTable(), new()).Report);

    private static CheckReport Valid(CheckReport report) => report.Verdict is RunVerdict.Valid
        ? report
        : throw new InvalidOperationException($"The history of the benchmark is not valid: {report.Reasons[0]}");

    private static long Sum(Operation[] operations)
    {
        var sum = 0L;
        foreach (ref readonly var op in operations.AsSpan())
        {
            sum += op.At.Seq;
        }

        return sum;
    }

    private static OnlineChecker Online(ObjectTable objects, Operation[] operations)
    {
        var checker = new OnlineChecker("ALL", objects, _ => { });
        IObjectStream? stream = null;
        var device = 0;
        foreach (ref readonly var op in operations.AsSpan())
        {
            if (op.At.Obj != device)
            {
                device = op.At.Obj;
                stream = checker.Open(objects.Name(device), 1);
            }

            stream!.Observe(op);
        }

        return checker;
    }

    /// <summary>From the record that breaks a rule to the call that says so, amid other operations.</summary>
    private static Line Latency(ObjectTable objects, Operation[] operations)
    {
        var taken = new List<double>();
        for (var i = 0; i < 2_000; i++)
        {
            var told = 0L;
            var checker = new OnlineChecker("ALL", objects, _ => told = Stopwatch.GetTimestamp());
            var stream = checker.Open(objects.Name(operations[0].At.Obj), 1);
            for (var n = 0; n < 200; n++)
            {
                stream.Observe(operations[n] with { At = operations[0].At with { Seq = n + 1 } });
            }

            var live = operations[0] with
            {
                Alloc = new(operations[0].Device, 1, 1_000_000),
                At = operations[0].At with { Seq = 201 },
            };
            var from = Stopwatch.GetTimestamp();
            stream.Observe(live);
            stream.Observe(live with
            {
                Alloc = new(operations[0].Device, 1, 1_000_001),
                At = live.At with { Seq = 202 },
            });
            taken.Add(Stopwatch.GetElapsedTime(from, told).TotalMicroseconds);
        }

        taken.Sort();
        return new(
            Name, "online, event to finding, p99", taken[taken.Count * 99 / 100], "us", null, null, null, null, null,
            "under 1 s", string.Create(CultureInfo.InvariantCulture, $"median {taken[taken.Count / 2]:0.0} us"));
    }

    private static Line Memory(long count, CancellationToken ct)
    {
        GC.Collect();
        var (before, peak) = (GC.GetTotalMemory(forceFullCollection: true), 0L);
        var objects = new ObjectTable();
        var checker = new HistoryChecker(CheckerHistory.Header, objects, []);
        var (given, clock) = (0L, Stopwatch.StartNew());
        foreach (var record in CheckerHistory.Records(objects, count, devices: 2_000))
        {
            checker.Add(record);
            if (++given % 1_000_000 == 0)
            {
                peak = Math.Max(peak, Environment.WorkingSet);
                ct.ThrowIfCancellationRequested();
            }
        }

        var report = Valid(checker.Finish());
        using var process = Process.GetCurrentProcess();
        return new(
            MemoryName,
            string.Create(CultureInfo.InvariantCulture, $"peak memory over {report.Records:N0} sorted events"),
            Math.Max(peak, process.PeakWorkingSet64) / 1048576.0, "MiB", null, null, null, null, null, "256 MiB",
            string.Create(
                CultureInfo.InvariantCulture,
                $"of the whole process, {(GC.GetTotalMemory(true) - before) / 1048576.0:0.0} MiB of it live at the "
                + $"end; {given / clock.Elapsed.TotalSeconds:N0} events/s, making them included"));
    }

    private static byte[] Written(ObjectTable objects, HistoryRecord[] records)
    {
        var file = new MemoryStream();
        using (var writer = new HistoryWriter(file, CheckerHistory.Header, objects))
        {
            foreach (var record in records)
            {
                writer.Write(record);
            }
        }

        return file.ToArray();
    }

    /// <summary>The excerpt of a recording, cycle after cycle, its times going on.</summary>
    private static (byte[] Text, long Lines) Trace(int cycles)
    {
        using var stream = typeof(CheckerBench).Assembly.GetManifestResourceStream("bench.trace")!;
        using var reader = new StreamReader(stream);
        var lines = reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Where(l => !l.StartsWith('#')).ToArray();
        var text = new StringBuilder();
        for (var cycle = 0; cycle < cycles; cycle++)
        {
            foreach (var line in lines)
            {
                text.Append(Later(line, cycle * 100)).Append('\n');
            }
        }

        return (Encoding.UTF8.GetBytes(text.ToString()), (long)cycles * lines.Length);
    }

    private static string Later(string line, int seconds)
    {
        var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        var time = Array.Find(words, w => w.EndsWith(':') && w.Contains('.', StringComparison.Ordinal)
            && double.TryParse(w.TrimEnd(':'), NumberStyles.Float, CultureInfo.InvariantCulture, out _));
        if (time is null)
        {
            return line;
        }

        var dot = time.IndexOf('.', StringComparison.Ordinal);
        var later = int.Parse(time.AsSpan(0, dot), CultureInfo.InvariantCulture) + seconds;
        return line.Replace(time, later.ToString(CultureInfo.InvariantCulture) + time[dot..], StringComparison.Ordinal);
    }
}
