using System.Diagnostics;
using System.Globalization;
using Fleet.Client.Load;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.LoadTests.Measuring;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.LoadTests.HotPath;

/// <summary>What a generator does for each operation besides calling: its number, its clocks and its records.</summary>
internal static class RecordingBench
{
    public const string Name = "recording";
    private const int PerTurn = 192;

    public static async Task<IReadOnlyList<Line>> RunAsync(bool isQuick, CancellationToken ct)
    {
        var folder = Directory.CreateTempSubdirectory("fleet-bench-recording-");
        try
        {
            var objects = new ObjectTable();
            using var spool = SpoolWriter.Create(
                new(Path.Combine(folder.FullName, "1"), "bench", 1, "bench", SpoolOptions.MonotonicClock())
                {
                    BoundBytes = long.MaxValue,
                    SparesMax = MeasuredFleet.Spares,
                },
                objects);
            using var reader = SpoolReader.Open(spool.Options.Directory, objects);
            using var asked = SentFile.Create(folder.FullName, 1);
            using var numbers = spool.OpenClient(objects.Intern("client:bench"), objects.Intern("session:bench"));
            var batch = new HistoryBatch(objects, 1);
            var load = new Recorder(spool, numbers, asked);
            void Empty()
            {
                while (reader.Read(batch, 65_536))
                {
                    batch.Clear();
                }

                spool.Stored(reader.TakeSpent());
            }

            var compared = await Interleaved.RunAsync(
                Name,
                new("the operation made, with its clocks", d => load.RunAsync(d, load.Make)),
                [
                    new("appended to the spool", d => load.RunAsync(d, load.Append)) { AfterRound = Empty },
                    new("all that a generator records", d => load.RunAsync(d, load.Record)) { AfterRound = Empty },
                ],
                warmUp: TimeSpan.FromSeconds(isQuick ? 0.4 : 3),
                round: TimeSpan.FromSeconds(isQuick ? 0.4 : 1),
                rounds: isQuick ? 3 : 9,
                ct: ct);
            return
            [
                Line.Of(compared[0], "", Nanoseconds(compared[0])),
                Line.Of(compared[1], "under 300 ns, 0 B", Nanoseconds(compared[1])),
            ];
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static string Nanoseconds(Comparison comparison) => string.Create(
        CultureInfo.InvariantCulture, $"= {1e9 / comparison.Figure:0} ns an operation, the operation itself included");

    /// <summary>One client's records, one after another, as fast as one thread can.</summary>
    private sealed class Recorder(SpoolWriter spool, OperationNumbers numbers, SentFile asked)
    {
        private readonly LoadCounters _counters = new();
        private readonly LatencyRecorder _latency = new();
        private long _sent;
        private long _made;

        public Task<long> RunAsync(TimeSpan duration, Action each)
        {
            var until = Stopwatch.GetTimestamp() + (long)(duration.TotalSeconds * Stopwatch.Frequency);
            var done = 0L;
            while (Stopwatch.GetTimestamp() < until)
            {
                for (var i = 0; i < PerTurn; i++)
                {
                    each();
                }

                done += PerTurn;
            }

            return Task.FromResult(done);
        }

        public void Make()
        {
            var operation = Begun(++_sent);
            operation.DoneNs = Stopwatch.GetTimestamp();
            _made ^= operation.DoneNs;
        }

        public void Append()
        {
            var operation = Begun(numbers.Next());
            operation.DoneNs = Stopwatch.GetTimestamp();
            spool.Append(operation);
        }

        public void Record()
        {
            var operation = Begun(numbers.Next());
            asked.Sending(0, ++_sent, operation);
            operation.DoneNs = Stopwatch.GetTimestamp();
            spool.Append(operation);
            _counters.Count(operation);
            _latency.Record(operation);
        }

        private Operation Begun(long number) => new()
        {
            Number = number,
            Client = numbers.Client,
            Session = numbers.Session,
            Device = 1,
            Kind = OperationKind.Alloc,
            Outcome = OperationOutcome.Ok,
            Err = Errno.OK,
            IntendedNs = Stopwatch.GetTimestamp(),
            SentNs = Stopwatch.GetTimestamp(),
            At = new(1, 1, number, 1),
            Alloc = new(1, 1, number),
            Address = 0x40_0000_0000,
            SizeBytes = 4096,
        };
    }
}
