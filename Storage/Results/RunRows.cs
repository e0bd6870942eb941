using System.Data.Common;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Storage.Results;

/// <summary>Reads the tables that both stores share through either's reader.</summary>
internal static class RunRows
{
    public const string RunColumns =
        "run, scenario, profile, seed, source, ordering, clock, clock_bound_ns, epoch_ns, started_utc, command_line, "
        + "settings, state, verdict, exit_code, complete, quiescent, ended_utc, summary, operations, events, findings";

    public static StoredRun Run(DbDataReader r, string location)
    {
        var info = new RunInfo(r.GetString(0))
        {
            Scenario = r.GetString(1),
            Profile = r.GetString(2),
            Seed = unchecked((ulong)r.GetInt64(3)),
            Source = r.GetString(4),
            Order = r.GetString(5),
            Clock = r.GetString(6),
            ClockBoundNs = r.GetInt64(7),
            EpochNs = r.GetInt64(8),
            StartedAt = Utc(r.GetDateTime(9)),
            CommandLine = r.GetString(10),
            Settings = r.GetString(11),
        };
        if (r.GetString(12) != "sealed")
        {
            return new StoredRun(info, RunState.Running, null, location);
        }

        var outcome = new RunOutcome(FindingRows.Parse<RunVerdict>(r.GetString(13)), r.GetInt32(14))
        {
            Complete = r.GetBoolean(15),
            Quiescent = r.GetBoolean(16),
            EndedAt = Utc(r.GetDateTime(17)),
            Summary = r.GetString(18),
        };
        return new StoredRun(info, RunState.Sealed, outcome, location)
        {
            Operations = r.GetInt64(19),
            Events = r.GetInt64(20),
            Findings = r.GetInt64(21),
        };
    }

    public static StoredFinding Finding(DbDataReader r) => new(
        r.GetInt32(0),
        r.GetString(1),
        new Finding(
            r.GetString(2), FindingRows.Parse<FindingClass>(r.GetString(3)), r.GetString(4), r.GetString(5),
            r.GetString(6), FindingRows.Split(r.GetString(7)))
        {
            Count = r.GetInt64(8),
            Remedy = r.IsDBNull(9) ? null : r.GetString(9),
        });

    /// <summary>Reads the columns of <see cref="HistoryTables.OperationColumns"/>.</summary>
    public static void Operation(
        DbDataReader r, int at, ObjectTable objects, IReadOnlyDictionary<int, int> sessions, out Operation op)
    {
        op = default;
        RowPacking.UnpackNumber(r.GetInt64(at), ref op);
        op.SentNs = r.GetInt64(at + 1);
        op.Address = r.IsDBNull(at + 26) ? Bits(r, at + 2) : (ulong)r.GetInt32(at + 26) << RowPacking.PageShift;
        op.Pfn = unchecked((ulong)Wide(r, at + 27, at + 3));
        op.Tag = Bits(r, at + 4);
        op.Of = Long(r, at + 5);
        op.IntendedNs = unchecked(op.SentNs - Wide(r, at + 11, at + 6));
        op.DoneNs = unchecked(op.SentNs + Wide(r, at + 12, at + 7));
        op.SizeBytes = unchecked((ulong)Wide(r, at + 13, at + 8));
        op.Client = r.GetInt32(at + 16);
        var obj = Int(r, at + 17);
        if (obj != 0)
        {
            op.At = new Position(
                obj, Int(r, at + 18, 1), Wide(r, at + 14, at + 9), Int(r, at + 19, RowPacking.DefaultLife));
        }

        op.Owner = Int(r, at + 20);
        op.Map = Int(r, at + 21, objects.Kind(obj) is ObjectKind.Map ? obj : 0);
        op.Device = Int(r, at + 22, objects.DeviceOf(obj));
        op.Session = r.IsDBNull(at + 23) ? sessions.GetValueOrDefault(op.Client) : r.GetInt32(at + 23);
        var number = Wide(r, at + 15, at + 10);
        if (number != 0)
        {
            var gen = RowPacking.DefaultAllocGen(obj != 0 && obj == op.Device, op.At.Gen);
            op.Alloc = new AllocId(op.Device, Int(r, at + 24, gen), number);
        }

        op.PageCount = Int(r, at + 25, RowPacking.DefaultPages(op.Kind));
        op.Err = r.IsDBNull(at + 29) ? Errno.OK : (Errno)r.GetInt16(at + 29);
    }

    /// <summary>Reads the columns of <see cref="HistoryTables.EventColumns"/>.</summary>
    public static HistoryEvent Event(
        DbDataReader r, int at, IReadOnlyDictionary<int, string> texts, IReadOnlyList<Position> after) => new()
        {
            Kind = (EventKind)r.GetInt16(at + 19),
            Err = r.IsDBNull(at + 20) ? Errno.OK : (Errno)r.GetInt16(at + 20),
            At = new Position(r.GetInt32(at + 7), r.GetInt32(at + 8), r.GetInt64(at), r.GetInt32(at + 9)),
            Proc = r.GetInt16(at + 17),
            TimeNs = r.GetInt64(at + 1),
            Actor = Text(r, at + 10, texts),
            Other = Int(r, at + 11),
            Start = Bits(r, at + 2),
            SizeBytes = Bits(r, at + 3),
            Pfn = Bits(r, at + 4),
            Count = Long(r, at + 5),
            Node = Int(r, at + 12, -1),
            Fn = Text(r, at + 13, texts),
            Text = Text(r, at + 14, texts),
            Alloc = r.IsDBNull(at + 15) ? default : new AllocId(Int(r, at + 15), Int(r, at + 16), Long(r, at + 6)),
            After = after,
        };

    public static int AfterCount(DbDataReader r, int at) => r.IsDBNull(at + 21) ? 0 : r.GetInt16(at + 21);

    private static string? Text(DbDataReader r, int i, IReadOnlyDictionary<int, string> texts) =>
        r.IsDBNull(i) ? null : texts[r.GetInt32(i)];

    private static int Int(DbDataReader r, int i, int none = 0) => r.IsDBNull(i) ? none : r.GetInt32(i);

    private static long Long(DbDataReader r, int i) => r.IsDBNull(i) ? 0 : r.GetInt64(i);

    private static ulong Bits(DbDataReader r, int i) => r.IsDBNull(i) ? 0 : unchecked((ulong)r.GetInt64(i));

    private static long Wide(DbDataReader r, int small, int large) =>
        r.IsDBNull(small) ? Long(r, large) : r.GetInt32(small);

    private static DateTimeOffset Utc(DateTime time) => new(DateTime.SpecifyKind(time, DateTimeKind.Utc));
}
