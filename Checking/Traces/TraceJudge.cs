using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.Traces;

/// <summary>Follows the objects of one kernel trace and judges what such a trace can decide.</summary>
/// <remarks>
/// What a record says about order: a probe at a function's entry is recorded before the effect, one at its return after
/// it,
/// and a page_ref tracepoint after the atomic operation. The task may be preempted in between, so an effect lies
/// between its
/// task's previous record and the record; a violation is found only where every place in that interval is one.
/// Operations that no probe sees (single get and put of a percpu_ref) are never invented.
/// State: what is live, and for each range the page map that was last there.
/// Source: kernel-model sections B.7, D and E.
/// </remarks>
internal sealed partial class TraceJudge(string profile, ObjectTable objects, Action<HistoryEvent>? sink)
{
    /// <summary>A record later than this is not explained by preemption any more.</summary>
    /// <remarks>
    /// Seen: 0.384 ms on an emulated machine. A waiting task gets its CPU back within few scheduler periods.
    /// </remarks>
    public static readonly TimeSpan LatePreemptedMax = TimeSpan.FromMilliseconds(10);

    /// <summary>
    /// The same where the record's own flags say that its task could not be preempted, only interrupted.
    /// </summary>
    public static readonly TimeSpan LateInterruptedMax = TimeSpan.FromMilliseconds(1);

    /// <summary>So long after the last visible holder let go a wait that goes on is stuck.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly Dictionary<int, TracedTask> _tasks = [];
    private readonly Dictionary<string, TracedDevice> _devices = new(StringComparer.Ordinal);
    private readonly Dictionary<int, long> _sequences = [];
    private readonly SortedDictionary<string, long> _unknown = new(StringComparer.Ordinal);
    private readonly TraceLedger _ledger = new(profile);
    private readonly ObjectTable _objects = objects;
    private readonly List<string> _notes = [];

    private long _line;
    private long _timeNs;
    private int _cpu;
    private TracedTask _task = new("", []);
    private bool _inInterrupt;
    private bool _preemptible;
    private string _probe = "";
    private long _functionEntries;

    public bool IsIncomplete { get; private set; }

    public long RecordCount { get; private set; }

    /// <summary>Takes one record; the spans are not kept.</summary>
    /// <exception cref="TraceFormatException">A field that a rule needs is missing or no number.</exception>
    public void Observe(in TraceLine record, long lineNumber)
    {
        RecordCount++;
        _line = lineNumber;
        _timeNs = record.TimeNs;
        _cpu = record.Cpu;
        _task = TaskOf(record);
        _inInterrupt = record.IsInterrupt;
        _preemptible = record.IsPreemptible;
        if (_task.Exited is { } exited && !_inInterrupt)
        {
            exited.ExitDoneLine = _line;
            _task.Exited = null;
        }

        if (record.IsFunction)
        {
            _functionEntries++;
        }
        else
        {
            var probe = TraceProbeNames.Find(record.Event);
            switch (probe)
            {
                case TraceProbe.Unknown:
                    CountUnknown(record.Event);
                    break;
                case TraceProbe.Ignored:
                    break;
                case TraceProbe.Mark:
                    Mark(record.Body);
                    break;
                default:
                    if (!TraceFields.TryParse(record.Body, out var fields, out var bad))
                    {
                        throw new TraceFormatException(
                            _line,
                            $"{TraceText.Printable(record.Event)} has a field '{TraceText.Printable(bad)}' that is "
                            + "no number; "
                            + "accepted: 0x… or a decimal");
                    }

                    Apply(probe, record.Event, fields);
                    break;
            }
        }

        _task.AnyLine = _line;
        if (!_inInterrupt)
        {
            _task.TaskLine = _line;
        }
    }

    /// <summary>The file says that records are missing.</summary>
    public void LoseRecords(string note)
    {
        IsIncomplete = true;
        Note(note);
    }

    public void Note(string note)
    {
        if (_notes.Count < 20 && !_notes.Contains(note))
        {
            _notes.Add(note);
        }
    }

    private void Apply(TraceProbe probe, ReadOnlySpan<byte> name, in TraceFields fields)
    {
        switch (probe)
        {
            // The hot ones first: page activity.
            case TraceProbe.PageRefTest or TraceProbe.PageRefMod or TraceProbe.PageRefSet:
                PageRef(Need(fields, TraceField.Pfn, name), unchecked((int)Need(fields, TraceField.Count, name)), name);
                break;
            case TraceProbe.FolioFree or TraceProbe.PageFree or TraceProbe.PageInit:
                PageEntry(probe, fields, name);
                break;
            case TraceProbe.FolioFreeRet or TraceProbe.PageFreeRet:
                PageReturn(probe, fields, name);
                break;
            case TraceProbe.InsertPage or TraceProbe.BioRelease:
                TouchPage(fields, name, isEntry: true);
                break;
            case TraceProbe.InsertPageRet:
                TouchPage(fields, name, isEntry: false);
                break;
            case TraceProbe.PoolAlloc:
                PoolAllocBegins(Need(fields, TraceField.Pool, name));
                break;
            case TraceProbe.PoolAllocRet:
                PoolAllocated(fields, name);
                break;
            case TraceProbe.PoolFree:
                PoolFreeBegins(fields, name);
                break;
            case TraceProbe.PoolFreeRet:
                PoolFreed(fields, name);
                break;
            default:
                _probe = System.Text.Encoding.ASCII.GetString(name);
                ApplyRare(probe, name, fields);
                break;
        }
    }

    private void ApplyRare(TraceProbe probe, ReadOnlySpan<byte> name, in TraceFields fields)
    {
        if (!fields.Release.IsEmpty && !fields.Release.SequenceEqual("dev_pagemap_percpu_release"u8))
        {
            // The ref of something else: every percpu_ref of the machine passes the same functions.
            return;
        }

        switch (probe)
        {
            case TraceProbe.ReallyProbe: ProbeBegins(fields, name); break;
            case TraceProbe.ReallyProbeRet: ProbeEnds(fields, name); break;
            case TraceProbe.ReleaseDriver: UnbindBegins(fields, name); break;
            case TraceProbe.ReleaseDriverRet: UnbindEnds(fields, name); break;
            case TraceProbe.DevresReleaseAll: NameDevice(fields); break;
            case TraceProbe.AddAction: ActionRegisters(fields); break;
            case TraceProbe.AddActionRet: ActionRegistered(fields); break;
            case TraceProbe.ActionRelease: ActionRuns(fields); break;
            case TraceProbe.NvmeProbe: PairPciDevice(Need(fields, TraceField.Pdev, name)); break;
            case TraceProbe.AddResource: AddResourceBegins(fields, name); break;
            case TraceProbe.AddResourceRet: AddResourceEnds(fields); break;
            case TraceProbe.P2pdmaRelease: P2pdmaReleases(Need(fields, TraceField.Pdev, name)); break;
            case TraceProbe.AllocP2pmemRet: P2pmemAllocated(fields, name); break;
            case TraceProbe.FreeP2pmem: P2pmemFreeBegins(fields, name); break;
            case TraceProbe.PoolCreate: _task.PoolOrder = fields[TraceField.Order]; break;
            case TraceProbe.PoolCreateRet: PoolCreated(Need(fields, TraceField.Pool, name)); break;
            case TraceProbe.PoolAdd: ChunkAdds(fields, name); break;
            case TraceProbe.PoolAddRet: ChunkAdded(fields); break;
            case TraceProbe.PoolDestroy: PoolDestroys(Need(fields, TraceField.Pool, name)); break;
            case TraceProbe.DevmMemremap: DevmMemremapBegins(fields, name); break;
            case TraceProbe.Memremap: MemremapBegins(fields, name); break;
            case TraceProbe.MemremapRet: MemremapEnds(fields, name); break;
            case TraceProbe.Memunmap: MemunmapBegins(fields, name); break;
            case TraceProbe.MemunmapRet: MemunmapEnds(Need(fields, TraceField.Pgmap, name)); break;
            case TraceProbe.RefInit: RefInits(Need(fields, TraceField.Ref, name)); break;
            case TraceProbe.RefInitRet: RefInitialised(Need(fields, TraceField.Ref, name), fields.Error); break;
            case TraceProbe.RefKill: RefKilled(fields, name); break;
            case TraceProbe.RefSwitch: RefSwitches(fields, name); break;
            case TraceProbe.RefReleaseCallback: RefZero(Need(fields, TraceField.Ref, name)); break;
            case TraceProbe.RefReleaseCallbackRet:
                RefZeroReturned(Need(fields, TraceField.Ref, name), fields.Caller);
                break;
            case TraceProbe.RefExit: RefExits(fields, name); break;
            case TraceProbe.RefResurrect or TraceProbe.RefReinit: RefRevived(Need(fields, TraceField.Ref, name)); break;
            case TraceProbe.AddMemory: MemoryAdds(Need(fields, TraceField.Start, name) >> 12); break;
            case TraceProbe.AddMemoryRet: MemoryAdded(fields.Error); break;
            case TraceProbe.AddPages: PagesAdd(Need(fields, TraceField.Pfn, name)); break;
            case TraceProbe.InitPages: PagesInit(fields, name); break;
            case TraceProbe.RemoveMemory: MemoryRemoves(Need(fields, TraceField.Start, name) >> 12); break;
            case TraceProbe.RemovePages: MemoryRemoves(Need(fields, TraceField.Pfn, name)); break;
            case TraceProbe.RemoveMemoryRet: MemoryRemoved(); break;
            case TraceProbe.RemovePagesRet: PagesRemoved(); break;
            case TraceProbe.HungTask: TaskHangs(fields); break;
        }
    }

    private ulong Need(in TraceFields fields, TraceField field, ReadOnlySpan<byte> name) => fields.Has(field)
        ? fields[field]
        : throw new TraceFormatException(
            _line,
            $"{TraceText.Printable(name)} has no field {Lower(field)}; "
            + "accepted: the fields that 'fleet trace probes' defines");

    private static string Lower(TraceField field) => field switch
    {
        TraceField.Page => "page (or folio)",
        _ => field.ToString().ToLowerInvariant(),
    };

    /// <exception cref="TraceFormatException">The range passes the end of the address space.</exception>
    private ulong LastOf(ulong first, ulong sizeBytes, ReadOnlySpan<byte> name) =>
        sizeBytes > 0 && sizeBytes - 1 <= ulong.MaxValue - first
            ? first + (sizeBytes - 1)
            : throw new TraceFormatException(
                _line,
                $"{TraceText.Printable(name)} has a range of 0x{sizeBytes:x} bytes at 0x{first:x}, which no memory "
                + "has; "
                + "accepted: a size of at least 1 that stays below 2^64");

    private TracedTask TaskOf(in TraceLine record)
    {
        if (_tasks.TryGetValue(record.Task, out var task))
        {
            if (!record.Comm.SequenceEqual(task.Comm))
            {
                (task.Label, task.Comm) = (LabelOf(record), record.Comm.ToArray());
            }

            return task;
        }

        task = new(LabelOf(record), record.Comm.ToArray());
        _tasks.Add(record.Task, task);
        return task;
    }

    private static string LabelOf(in TraceLine record) =>
        string.Create(CultureInfo.InvariantCulture, $"{TraceText.Printable(record.Comm)}-{record.Pid}");

    private void CountUnknown(ReadOnlySpan<byte> name)
    {
        var text = TraceText.Printable(name);
        if (_unknown.Count < 1000 || _unknown.ContainsKey(text))
        {
            _unknown[text] = _unknown.GetValueOrDefault(text) + 1;
        }
        else
        {
            _unknown["others"] = _unknown.GetValueOrDefault("others") + 1;
        }
    }

    /// <summary>Line after which the effect of the present record certainly lies.</summary>
    private long EffectAfterLine => _inInterrupt ? _task.AnyLine : _task.TaskLine;

    /// <summary>The present record as evidence alone: it is no event of an object, so it takes no position.</summary>
    private Moment Now(EventKind kind) => new(_line, _timeNs, _task, 0, kind, _probe);

    /// <summary>Records an event of an object, as every engine records it.</summary>
    private Moment Emit(
        EventKind kind, int obj, int life, ulong pfn = 0, long count = 0, ulong start = 0, ulong size = 0,
        int other = 0, long error = 0, int node = -1, string? fn = null)
    {
        var now = Now(kind) with { Seq = _sequences[obj] = _sequences.GetValueOrDefault(obj) + 1 };
        sink?.Invoke(new()
        {
            Kind = kind,
            At = new(obj, 1, now.Seq, life),
            TimeNs = _timeNs,
            Actor = _task.Label,
            Err = error is > 0 and < 200 && Enum.IsDefined((Errno)(short)error) ? (Errno)(short)error : Errno.OK,
            Pfn = pfn,
            Count = count,
            Start = start,
            SizeBytes = size,
            Other = other,
            Node = node,
            Fn = fn,
        });
        return now;
    }

    /// <summary>A record as evidence, in the form of history-format with the line and the probe beside it.</summary>
    private static string Record(string obj, int life, Moment at, params (string Name, JsonNode Value)[] more)
    {
        var record = new JsonObject
        {
            ["ev"] = EventKinds.WireName(at.Kind),
            ["obj"] = obj,
            ["gen"] = 1,
            ["life"] = life,
            ["proc"] = "kernel",
            ["t"] = at.TimeNs,
            ["actor"] = at.Task?.Label,
            ["line"] = at.Line,
            ["probe"] = at.Probe,
        };
        if (at.Seq > 0)
        {
            record["seq"] = at.Seq;
        }

        foreach (var (name, value) in more)
        {
            record[name] = value;
        }

        return record.ToJsonString(Plain);
    }

    private static readonly JsonSerializerOptions Plain = new()
    {
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private static string Seconds(long timeNs) => (timeNs / 1e9).ToString("0.000000", CultureInfo.InvariantCulture);

    private static string Say(Moment at) => string.Create(
        CultureInfo.InvariantCulture, $"line {at.Line} ({at.Probe} by {at.Task?.Label}, {Seconds(at.TimeNs)} s)");
}
