using System.Globalization;
using Fleet.Checking.History;
using Fleet.Checking.Rules;
using Fleet.Checking.Streams;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking;

/// <summary>Judges a whole history in one pass.</summary>
/// <remarks>
/// Feed records so that those of one object come in (gen, seq) order; objects may follow each other or be interleaved.
/// Best order: operations without a position first, then each device's refs and page maps before the device itself
/// (names in descending order do that): who held what is then asked once, and nothing is kept for later. The other way
/// round the holder of a page whose tag is wrong is not known any more, and TAG-MISMATCH stays undecided there.
/// Concurrency: one thread. Memory: what is live, one small record for each life of a ref or page map, and the names.
/// Source: history-format, sections Order and Findings.
/// </remarks>
public sealed class HistoryChecker
{
    private readonly ObjectTable _objects;
    private readonly IReadOnlyList<string> _probesRequired;
    private readonly Ledger _ledger;
    private readonly CheckContext _context;
    private readonly Dictionary<int, DeviceGroup> _groups = [];
    private ObjectStream? _current;
    private long _records;
    private bool _finished;

    /// <param name="probesRequired">Names of the probes that have to be above zero for a valid verdict.</param>
    /// <param name="onFinding">Called once for each signature as it is decided; null for nobody.</param>
    public HistoryChecker(
        HistoryHeader header, ObjectTable objects, IReadOnlyList<string> probesRequired,
        Action<Finding>? onFinding = null)
        : this(header, objects, probesRequired, onFinding, excerpt: false)
    {
    }

    /// <param name="excerpt">Missing positions were left out on purpose: nothing that matters stood there.</param>
    internal HistoryChecker(
        HistoryHeader header, ObjectTable objects, IReadOnlyList<string> probesRequired, Action<Finding>? onFinding,
        bool excerpt)
    {
        (_objects, _probesRequired) = (objects, probesRequired);
        _ledger = new(objects, header.Profile, onFinding);
        _context = new(header, objects, _ledger, online: false) { IsExcerpt = excerpt };
    }

    /// <summary>One of several that share the devices of a history between them.</summary>
    internal HistoryChecker(CheckContext context, IReadOnlyList<string> probesRequired)
    {
        (_objects, _probesRequired) = (context.Objects, probesRequired);
        (_ledger, _context) = (context.Ledger, context);
    }

    /// <exception cref="RecordOrderException">It lies before a record of the same object that was added
    /// already.</exception>
    public void Add(HistoryEvent record)
    {
        _records++;
        Stream(record.At.Obj)?.Observe(record);
    }

    /// <exception cref="RecordOrderException">It lies before a record of the same object that was added
    /// already.</exception>
    public void Add(in Operation record)
    {
        _records++;
        if (record.Kind is OperationKind.Bind or OperationKind.Unbind or OperationKind.AddResource
            or OperationKind.Remove)
        {
            // Its position is that of the object's own event of it, which is judged in its place.
            return;
        }

        if (!record.At.IsNone && _objects.Kind(record.At.Obj) is ObjectKind.Map
            && (record.Kind is OperationKind.Alloc or OperationKind.Free
                || record is { Kind: OperationKind.Query, SizeBytes: > 0 }))
        {
            // A pin, or what became of one: the page map's own page_get or page_put stands at the same position. What
            // became of an access names no size.
            return;
        }

        if (!record.At.IsNone)
        {
            Stream(record.At.Obj)?.Observe(record);
        }
        else if (record.Outcome is OperationOutcome.Unknown || IsGone(record))
        {
            NoteUnanswered(record);
        }
    }

    /// <summary>A later incarnation says that what was asked for is gone; a copy of the message may have reached the
    /// one that had it.</summary>
    private static bool IsGone(in Operation record) => record is
    {
        Kind: OperationKind.Alloc or OperationKind.Free or OperationKind.Access, Outcome: OperationOutcome.Fail,
        Err: Errno.ENODEV,
    };

    public void Add(in HistoryRecord record)
    {
        if (record.Event is { } e)
        {
            Add(e);
        }
        else
        {
            Add(record.Operation);
        }
    }

    /// <summary>
    /// Some records are missing although the header says that none is: a file that is cut off, for instance.
    /// </summary>
    public void MarkIncomplete() => _context.Header = _context.Header with { Complete = false };

    /// <summary>Decides what only the end decides and draws the verdict; nothing may be added after it.</summary>
    public CheckReport Finish()
    {
        var (records, lost, duplicates) = End();
        return Judge(records, lost, duplicates);
    }

    /// <summary>Decides what only the end decides; the verdict is drawn from all of several checkers.</summary>
    internal (long Records, long Lost, long Duplicates) End()
    {
        if (_finished)
        {
            throw new InvalidOperationException("A history is finished once.");
        }

        _finished = true;
        var (lost, duplicates) = (0L, 0L);
        foreach (var group in _groups.Values)
        {
            foreach (var stream in Streams(group))
            {
                stream.End();
                duplicates += stream.Duplicates;
            }

            group.End();
            lost += (group.Device?.Lost ?? 0) + group.Refs.Values.Sum(r => r.Lost) + group.Maps.Values.Sum(m => m.Lost);
        }

        return (_records, lost, duplicates);
    }

    private static IEnumerable<ObjectStream> Streams(DeviceGroup group)
    {
        if (group.Device is { } device)
        {
            yield return device;
        }

        foreach (var map in group.Maps.Values)
        {
            yield return map;
        }

        foreach (var @ref in group.Refs.Values)
        {
            yield return @ref;
        }
    }

    internal CheckReport Judge(long records, long lost, long duplicates)
    {
        var findings = _ledger.Findings();
        var rules = _ledger.Evidence();
        var probes = _ledger.ProbeCounts();
        var reasons = new List<string>();
        var complete = _context.Header.Complete && lost == 0 && duplicates == 0;
        var invalid = findings.Any(f => f.Class is FindingClass.Safety or FindingClass.Liveness or FindingClass.Leak);
        foreach (var @class in findings.Select(f => f.Class).Distinct())
        {
            var names = string.Join(", ", findings.Where(f => f.Class == @class).Select(f => f.Rule).Distinct());
            reasons.Add(@class switch
            {
                FindingClass.Infrastructure =>
                    $"Two incarnations served at once ({names}): what the history shows of them is no "
                        + "evidence about the kernel.",
                FindingClass.Client => $"A client used what it had given back ({names}).",
                FindingClass.Harness => $"Fleet itself is wrong ({names}).",
                FindingClass.Leak => $"Something was never given back ({names}).",
                FindingClass.Liveness => $"Something that had to come never came ({names}).",
                _ => $"A rule is broken ({names}).",
            });
        }

        if (!_context.Header.Complete)
        {
            reasons.Add("The history is incomplete: its header says so, or its last line is cut off.");
        }

        if (lost > 0)
        {
            reasons.Add(string.Create(
                CultureInfo.InvariantCulture,
                $"The history is incomplete: {lost} positions are claimed by no record and by no "
                + $"unanswered operation."));
        }

        if (duplicates > 0)
        {
            reasons.Add(string.Create(
                CultureInfo.InvariantCulture,
                $"The history contradicts itself: {duplicates} positions are claimed by two records."));
        }

        if (!rules.Any(r => r.Decided && RuleCatalog.Find(r.Rule)!.Essential))
        {
            var names = string.Join(", ", RuleCatalog.All.Where(r => r.Essential).Select(r => r.Name));
            reasons.Add($"The history is vacuous: it decides no instance of {names}.");
        }

        foreach (var name in _probesRequired)
        {
            if (probes.GetValueOrDefault(name) == 0)
            {
                reasons.Add($"The required probe {name} stayed at zero: {Checking.Probes.Missing(name)}.");
            }
        }

        var verdict = invalid ? RunVerdict.Invalid : reasons.Count > 0 ? RunVerdict.Unknown : RunVerdict.Valid;
        return new(verdict, findings, rules, probes, reasons, records, complete);
    }

    private ObjectStream? Stream(int obj)
    {
        if (_current is not null && _current.Obj == obj)
        {
            return _current;
        }

        var kind = _objects.Kind(obj);
        if (kind is not (ObjectKind.Device or ObjectKind.Ref or ObjectKind.Map))
        {
            return null;
        }

        var group = Group(_objects.DeviceOf(obj));
        _current = kind switch
        {
            ObjectKind.Device => Device(group, obj),
            ObjectKind.Ref => Known(group.Refs, obj) ?? (group.Refs[obj] = new(_context, group, obj)),
            _ => Map(group, obj),
        };
        return _current;
    }

    private DeviceGroup Group(int device)
    {
        if (!_groups.TryGetValue(device, out var group))
        {
            _groups[device] = group = new();
        }

        return group;
    }

    private DeviceStream Device(DeviceGroup group, int obj) => group.Device ??= new(_context, group, obj);

    private MapStream Map(DeviceGroup group, int obj) =>
        Known(group.Maps, obj) ?? (group.Maps[obj] = new(_context, group, obj));

    private static T? Known<T>(Dictionary<int, T> streams, int obj)
        where T : class => streams.GetValueOrDefault(obj);

    private void NoteUnanswered(in Operation record)
    {
        var device = record.Device != 0 ? record.Device : record.Alloc.Device;
        if (device == 0)
        {
            return;
        }

        var group = Group(device);
        group.Unanswered.Add(record);
        if (record.Kind is OperationKind.Alloc or OperationKind.Free)
        {
            Device(group, device).NoteUnanswered(record);
        }
        else if (record.Kind is OperationKind.Access && record.Map != 0)
        {
            Map(group, record.Map).NoteUnanswered(record);
        }
    }
}
