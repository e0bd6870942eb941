using System.Collections.Concurrent;
using Fleet.Kernel.History;

namespace Fleet.Checking.Streams;

/// <summary>
/// An access that may have been a use after remove, or may have read another's tag: its device knows who held.
/// </summary>
internal sealed record Suspicion(Operation Access, Action<HeldAnswer, LiveAllocation, Operation> Decide);

internal enum HeldAnswer : byte
{
    /// <summary>The client had the allocation and had not sent its free.</summary>
    Held,

    /// <summary>The client had sent the free before it sent the access, or never had the allocation.</summary>
    Misuse,

    /// <summary>The records do not say.</summary>
    Unknown,
}

/// <summary>One device with its refs and page maps: what must be known of several of them at once.</summary>
/// <remarks>
/// Offline, questions wait until the streams they are about have come far enough. Online, only a suspicion crosses from
/// one object's turn to another's: it is queued and answered by the device's next record, before that takes effect.
/// </remarks>
internal sealed class DeviceGroup
{
    private const int AskedMax = 1024;

    private ConcurrentQueue<Suspicion>? _asked;
    private OfflineFacts? _offline;
    private volatile bool _unbinding;

    /// <summary>What is joined of several objects; online, where there are many groups, nothing is.</summary>
    private sealed class OfflineFacts
    {
        public readonly Dictionary<int, RefStream> Refs = [];
        public readonly Dictionary<int, MapStream> Maps = [];
        public readonly List<Operation> Unanswered = [];
        public List<Suspicion>? Suspicions;
        public List<(Position At, Action<bool> Decide)>? Joins;
        public Dictionary<AllocId, HolderFacts>? Holders;
    }

    /// <summary>What a client said of one allocation.</summary>
    internal struct HolderFacts
    {
        public LiveAllocation Allocation;
        public Operation Free;
    }

    public DeviceStream? Device { get; set; }

    public Dictionary<int, RefStream> Refs => Offline.Refs;

    public Dictionary<int, MapStream> Maps => Offline.Maps;

    /// <summary>Operations that nobody answered, by number: they may have taken effect at any later time.</summary>
    public List<Operation> Unanswered => Offline.Unanswered;

    /// <summary>An unbind of the device is running; read by the turns of its page maps.</summary>
    public bool Unbinding
    {
        get => _unbinding;
        set => _unbinding = value;
    }

    public bool HasSuspicions => _offline is { Suspicions: not null } or { Holders: not null };

    private OfflineFacts Offline => _offline ??= new();

    public bool HasQuestions => Volatile.Read(ref _asked) is { IsEmpty: false };

    /// <summary>
    /// Runs once the object has come to the position: at once if it has, else at the end (false: it never did).
    /// </summary>
    public void WhenReached(Position at, Action<bool> decide)
    {
        if (Reached(at))
        {
            decide(true);
        }
        else
        {
            (Offline.Joins ??= []).Add((at, decide));
        }
    }

    /// <summary>
    /// Returns the ref that counts the users of a page map: its own, the device's or its queue's; null if none lives.
    /// </summary>
    public RefStream? RefOf(ObjectTable objects, int map)
    {
        var name = objects.Name(map, stackalloc char[ObjectTable.UsualLength]);
        var body = name[(name.IndexOf(':') + 1)..];
        var device = body[..Math.Max(0, body.LastIndexOf('/'))];
        return Living(objects.Find($"ref:{body}")) ?? Living(objects.Find($"ref:{device}/shared"))
            ?? Living(objects.Find($"ref:{device}/queue"));
    }

    private RefStream? Living(int id) => Refs.TryGetValue(id, out var found) && found.Now.Exists ? found : null;

    /// <summary>
    /// Runs once all records of an object were fed: at once when it was fed as a whole before, else at the end.
    /// </summary>
    public void WhenFed(int obj, bool sortedByObject, Action decide)
    {
        if (sortedByObject && (Maps.ContainsKey(obj) || Refs.ContainsKey(obj)))
        {
            decide();
        }
        else
        {
            (Offline.Joins ??= []).Add((default, _ => decide()));
        }
    }

    public void Suspect(Suspicion suspicion, bool online)
    {
        if (online)
        {
            // A device that lives in another process never answers here.
            var asked = LazyInitializer.EnsureInitialized(ref _asked);
            if (asked.Count >= AskedMax)
            {
                suspicion.Decide(HeldAnswer.Unknown, default, default);
                return;
            }

            asked.Enqueue(suspicion);
            return;
        }

        (Offline.Suspicions ??= []).Add(suspicion);
        var id = suspicion.Access.Alloc;
        if (!id.IsNone)
        {
            (Offline.Holders ??= []).TryAdd(id, default);
        }
    }

    /// <summary>Online: answers what was asked before the device's next record, from what is live now.</summary>
    public void Answer(LiveAllocations? live)
    {
        while (_asked!.TryDequeue(out var suspicion))
        {
            var slot = live?.Find(suspicion.Access.Alloc) ?? -1;
            var allocation = slot >= 0 ? live![slot] : default;
            suspicion.Decide(
                slot < 0 || allocation.Client != suspicion.Access.Client ? HeldAnswer.Misuse : HeldAnswer.Held,
                allocation, default);
        }
    }

    /// <summary>Keeps what is known of an allocation when an access to it is suspect, or may become so.</summary>
    public void NoteAlloc(in LiveAllocation allocation, bool mayBecomeSuspect)
    {
        if (_offline?.Holders is { } holders && holders.TryGetValue(allocation.Id, out var facts))
        {
            holders[allocation.Id] = facts with { Allocation = allocation };
        }
        else if (mayBecomeSuspect)
        {
            (Offline.Holders ??= [])[allocation.Id] = new() { Allocation = allocation };
        }
    }

    public void NoteFree(in LiveAllocation allocation, in Operation free)
    {
        if (_offline?.Holders is { } holders && holders.TryGetValue(free.Alloc, out var facts))
        {
            facts.Free = free;
            if (!allocation.Id.IsNone)
            {
                facts.Allocation = allocation;
            }

            holders[free.Alloc] = facts;
        }
    }

    public void End()
    {
        if (_offline is not { } offline)
        {
            return;
        }

        foreach (var (at, decide) in offline.Joins ?? [])
        {
            decide(!at.IsNone && Reached(at));
        }

        foreach (var suspicion in offline.Suspicions ?? [])
        {
            Decide(suspicion);
        }

        (offline.Joins, offline.Suspicions, offline.Holders) = (null, null, null);
    }

    private bool Reached(Position at)
    {
        ObjectStream? stream = Refs.GetValueOrDefault(at.Obj);
        stream ??= Maps.GetValueOrDefault(at.Obj);
        stream ??= Device?.Obj == at.Obj ? Device : null;
        return stream is not null && (stream.Gen > at.Gen || (stream.Gen == at.Gen && stream.LastSeq >= at.Seq));
    }

    private void Decide(Suspicion suspicion)
    {
        var access = suspicion.Access;
        var facts = _offline?.Holders?.GetValueOrDefault(access.Alloc) ?? default;
        var free = facts.Free;
        if (free.Kind is OperationKind.None)
        {
            // A free that nobody answered counts from when it was sent.
            free = Unanswered.Find(u => u.Kind is OperationKind.Free && u.Alloc == access.Alloc);
        }

        var allocation = facts.Allocation;
        HeldAnswer answer;
        if (access.Alloc.IsNone)
        {
            answer = HeldAnswer.Unknown;
        }
        else if (allocation.Id.IsNone && free.Kind is OperationKind.None)
        {
            // Nothing of this allocation was fed, or it was over before any mapping it could touch was torn down.
            answer = HeldAnswer.Unknown;
        }
        else if (!allocation.Id.IsNone && allocation.Client != access.Client)
        {
            answer = HeldAnswer.Misuse;
        }
        else if (free.Kind is OperationKind.None || access.DoneNs <= free.SentNs)
        {
            answer = HeldAnswer.Held;
        }
        else
        {
            answer = free.SentNs <= access.SentNs ? HeldAnswer.Misuse : HeldAnswer.Unknown;
        }

        suspicion.Decide(answer, allocation, free);
    }
}
