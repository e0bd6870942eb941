using Fleet.Checking.History;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests;

/// <summary>
/// Writes the history of one device, step by step, as a correct v5.2 kernel would; a test leaves out or turns what it
/// wants.
/// </summary>
internal sealed class World
{
    public const string Device = "dev:h1/0000:01:00.0";
    public const ulong PageBytes = 4096;
    public const ulong ResourceBytes = 16 * PageBytes;

    private readonly Dictionary<string, (int Gen, long Seq)> _positions = [];
    private readonly Dictionary<int, int> _memremapNodes = [];
    private readonly Dictionary<int, long> _exitSeq = [];
    private long _clock;
    private long _operations;
    private int _nodes;
    private int _allocations;

    public ObjectTable Objects { get; } = new();

    public List<HistoryRecord> Records { get; } = [];

    public HistoryHeader Header { get; set; } = new()
    {
        Run = "test",
        Profile = "ALL",
        Clock = "monotonic:test",
        ClockBoundNs = 0,
        Quiescent = true,
    };

    public int Life { get; set; } = 1;

    public string Client { get; set; } = "client:c1";

    public static string Ref(int resource) => $"ref:h1/0000:01:00.0/bar{resource}";

    public static string Map(int resource) => $"map:h1/0000:01:00.0/bar{resource}";

    public static ulong StartOf(int resource) => 0x4_0000_0000UL + ((ulong)resource * 0x1000_0000UL);

    public string Pagemap(int resource) => $"p2p_pgmap:h1/0000:01:00.0/bar{resource}.{Life}";

    public string P2pdma => $"p2pdma:h1/0000:01:00.0.{Life}";

    /// <summary>Gives the next position of an object to an event.</summary>
    public Position Event(EventKind kind, string obj, Func<HistoryEvent, HistoryEvent>? with = null)
    {
        var record = new HistoryEvent
        {
            Kind = kind,
            At = Next(obj),
            TimeNs = ++_clock,
            Proc = Objects.InternProcess("silo-1")
        };
        record = with?.Invoke(record) ?? record;
        Records.Add(record);
        return record.At;
    }

    public Position Dev(EventKind kind, Func<HistoryEvent, HistoryEvent>? with = null) => Event(kind, Device, with);

    public int Id(string name) => Objects.Intern(name);

    /// <summary>
    /// Leaves out the next position of an object: a record that is missing, or an operation that was not answered.
    /// </summary>
    public Position Skip(string obj) => Next(obj);

    public void Incarnation(string obj, string reason = "first")
    {
        if (reason is not "first")
        {
            _positions[obj] = (_positions[obj].Gen + 1, 0);
        }

        Event(EventKind.Incarnation, obj, e => e with { Fn = reason, Text = "silo-1" });
    }

    public World Bind(int resources = 1)
    {
        Begin();
        for (var resource = 0; resource < resources; resource++)
        {
            AddResource(resource);
        }

        Dev(EventKind.BindEnd);
        return this;
    }

    public void Begin()
    {
        if (!_positions.ContainsKey(Device))
        {
            Incarnation(Device);
        }

        Dev(EventKind.BindBegin, e => e with { Text = "p2pdma" });
        Dev(EventKind.ObjAlloc, e => e with { Other = Id(P2pdma), Text = "p2pdma" });
        Dev(EventKind.PoolCreate, e => e with { Other = Id("pool:h1/0000:01:00.0") });
        AddNode("pci_p2pdma_release", P2pdma);
        Dev(EventKind.FieldSet);
    }

    public int AddNode(string fn, string data)
    {
        var node = _nodes++;
        Dev(EventKind.DevresAdd, e => e with { Node = node, Fn = fn, Text = "action", Other = Id(data) });
        return node;
    }

    public void RunNode(int node, string fn, string data) =>
        Dev(EventKind.DevresRun, e => e with { Node = node, Fn = fn, Text = "action", Other = Id(data) });

    public void AddResource(int resource, Errno error = Errno.OK, bool unmaps = true)
    {
        Dev(EventKind.AddResourceBegin, e => e with { Node = resource, SizeBytes = ResourceBytes });
        Dev(EventKind.ObjAlloc, e => e with { Other = Id(Pagemap(resource)), Text = "p2p_pgmap" });
        if (!_positions.ContainsKey(Ref(resource)))
        {
            Incarnation(Ref(resource));
            Incarnation(Map(resource));
        }

        Event(EventKind.RefInit, Ref(resource), e => e with { Count = 1 });
        var pfn = StartOf(resource) / PageBytes;
        Event(EventKind.MemoryAdd, Map(resource), e => e with { Pfn = pfn, Count = 16 });
        Event(EventKind.PagesInit, Map(resource), e => e with { Pfn = pfn, Count = 16 });
        Event(EventKind.MapStore, Map(resource), e => e with { Pfn = pfn, Count = 16 });
        _memremapNodes[resource] = AddNode("devm_memremap_pages_release", Pagemap(resource));
        if (error is Errno.OK)
        {
            Dev(EventKind.ChunkAdd, e => e with
            {
                Node = resource,
                Start = StartOf(resource),
                SizeBytes = ResourceBytes,
                Other = Id(Ref(resource))
            });
        }
        else
        {
            if (unmaps)
            {
                Teardown(resource);
            }

            Dev(EventKind.ObjFree, e => e with { Other = Id(Pagemap(resource)), Text = "p2p_pgmap" });
        }

        Dev(EventKind.AddResourceEnd, e => e with { Node = resource, Err = error });
    }

    /// <summary>An alloc that succeeds, of one page of a resource.</summary>
    public AllocId Alloc(int resource = 0, int page = 0, int pages = 1, Func<Operation, Operation>? with = null)
    {
        var op = Operation(OperationKind.Alloc, Next(Device));
        op.Alloc = new(Id(Device), op.At.Gen, ++_allocations);
        (op.Address, op.SizeBytes) = (StartOf(resource) + ((ulong)page * PageBytes), (ulong)pages * PageBytes);
        op.Owner = Id(Ref(resource));
        op = with?.Invoke(op) ?? op;
        Records.Add(op);
        return op.Alloc;
    }

    public void Refuse(Errno error = Errno.ENOMEM, int owner = -1, ulong size = PageBytes)
    {
        var op = Operation(OperationKind.Alloc, Next(Device));
        (op.Outcome, op.Err, op.SizeBytes, op.Owner) =
            (OperationOutcome.Fail, error, size, owner < 0 ? 0 : Id(Ref(owner)));
        Records.Add(op);
    }

    public void Free(AllocId id, int resource = 0, int page = 0, int pages = 1, Func<Operation, Operation>? with = null)
    {
        var op = Operation(OperationKind.Free, Next(Device));
        op.Alloc = id;
        (op.Address, op.SizeBytes) = (StartOf(resource) + ((ulong)page * PageBytes), (ulong)pages * PageBytes);
        op.Owner = Id(Ref(resource));
        Records.Add(with?.Invoke(op) ?? op);
    }

    public void Access(
        AllocId id, int resource = 0, int page = 0, AccessDirection direction = AccessDirection.Write, ulong tag = 1,
        Errno error = Errno.OK, Func<Operation, Operation>? with = null)
    {
        var op = Operation(OperationKind.Access, Next(Map(resource)));
        (op.Alloc, op.Map, op.Direction, op.Via, op.Tag) = (id, Id(Map(resource)), direction, AccessVia.Dma, tag);
        (op.Pfn, op.PageCount) = ((StartOf(resource) / PageBytes) + (ulong)page, 1);
        (op.Outcome, op.Err) = (error is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail, error);
        Records.Add(with?.Invoke(op) ?? op);
    }

    /// <summary>An operation that nobody answered; it takes no position that is known.</summary>
    public void Unanswered(
        OperationKind kind, AllocId id, AccessDirection direction = AccessDirection.None, ulong tag = 0)
    {
        var op = Operation(kind, default);
        (op.Outcome, op.DoneNs, op.Alloc) = (OperationOutcome.Unknown, 0, id);
        if (kind is OperationKind.Access)
        {
            (op.Map, op.Direction, op.Tag) = (Id(Map(0)), direction, tag);
        }

        Records.Add(op);
    }

    public void BeginUnbind()
    {
        Dev(EventKind.UnbindBegin, e => e with { Actor = "unbind" });
        Dev(EventKind.ReleaseAllBegin);
    }

    /// <summary>The release of one mapping, in the order of patch 6.</summary>
    /// <param name="whileWaiting">Happens after the kill, before the count reaches zero.</param>
    public void Teardown(int resource, Action? whileWaiting = null)
    {
        BeginTeardown(resource);
        Kill(resource);
        whileWaiting?.Invoke();
        Reap(resource);
        Remove(resource);
        EndTeardown(resource);
    }

    public void BeginTeardown(int resource)
    {
        RunNode(_memremapNodes[resource], "devm_memremap_pages_release", Pagemap(resource));
        Dev(EventKind.TeardownBegin, e => e with
        {
            Other = Id(Map(resource)),
            Start = StartOf(resource),
            SizeBytes = ResourceBytes
        });
    }

    public void Kill(int resource)
    {
        Event(EventKind.RefKill, Ref(resource), e => e with { Actor = "unbind", After = [Last(Device)] });
        Event(EventKind.SwitchDone, Ref(resource), e => e with
        {
            Actor = "rcu",
            After = [Last(Device), Last(Map(resource))]
        });
    }

    public void Reap(int resource)
    {
        Event(EventKind.WaitBegin, Ref(resource));
        Event(EventKind.RefZero, Ref(resource), e => e with { After = [Last(Device)] });
        Event(EventKind.Complete, Ref(resource));
        Event(EventKind.WaitEnd, Ref(resource));
        _exitSeq[resource] = Event(EventKind.RefExit, Ref(resource)).Seq;
    }

    public void Remove(int resource)
    {
        var pfn = StartOf(resource) / PageBytes;
        Event(EventKind.MemoryRemove, Map(resource), e => e with { Pfn = pfn, Count = 16, After = [Last(Device)] });
        Event(EventKind.MapErase, Map(resource), e => e with { Pfn = pfn, Count = 16 });
    }

    public void EndTeardown(int resource) => Dev(EventKind.TeardownEnd, e => e with
    {
        Other = Id(Map(resource)),
        Start = StartOf(resource),
        SizeBytes = ResourceBytes,
        After = [Last(Map(resource)), Last(Ref(resource))],
    });

    public void FreeMemory(string name, string kind) =>
        Dev(EventKind.ObjFree, e => e with { Other = Id(name), Text = kind });

    /// <summary>What is left of an unbind when all mappings are gone.</summary>
    public void EndUnbind(int resources = 1)
    {
        Release();
        Dev(EventKind.ReleaseAllEnd);
        Dev(EventKind.UnbindEnd, e => e with
        {
            After = [.. Enumerable.Range(0, resources).SelectMany(r => new[] { Last(Map(r)), Last(Ref(r)) })],
        });
    }

    public void Release(long live = 0)
    {
        RunNode(SetupNode, "pci_p2pdma_release", P2pdma);
        Dev(EventKind.FieldClear);
        Dev(EventKind.PoolDestroy, e => e with { Count = live });
        FreeMemory(P2pdma, "p2pdma");
    }

    public int SetupNode { get; set; }

    public World Unbind(int resources = 1, Action<int>? whileWaiting = null)
    {
        BeginUnbind();
        for (var resource = resources - 1; resource >= 0; resource--)
        {
            var r = resource;
            Teardown(r, () => whileWaiting?.Invoke(r));
            FreeMemory(Pagemap(r), "p2p_pgmap");
        }

        EndUnbind(resources);
        return this;
    }

    public void NextLife()
    {
        Life++;
        SetupNode = _nodes;
    }

    public Position Last(string obj) => new(Id(obj), _positions[obj].Gen, _positions[obj].Seq, Life);

    /// <summary>Judges the history as a file would be: written, read back, sorted, checked.</summary>
    public CheckReport Check(params string[] probes)
    {
        using var file = new MemoryStream(Bytes());
        return HistoryFile.Check(file, new(), new() { ProbesRequired = probes }).Report;
    }

    public byte[] Bytes()
    {
        var file = new MemoryStream();
        using (var writer = new HistoryWriter(file, Header, Objects))
        {
            foreach (var record in Records)
            {
                writer.Write(record);
            }
        }

        return file.ToArray();
    }

    /// <summary>
    /// Lets the online checker see the records in the order in which they happened, as the objects know them.
    /// </summary>
    public OnlineSnapshot Observe()
    {
        var checker = new OnlineChecker(Header.Profile, Objects, _ => { });
        var streams = new Dictionary<(int, int), IObjectStream>();
        foreach (var record in Records)
        {
            if (record.At.IsNone)
            {
                continue;
            }

            if (!streams.TryGetValue((record.At.Obj, record.At.Gen), out var stream))
            {
                stream = checker.Open(Objects.Name(record.At.Obj), record.At.Gen);
                streams.Add((record.At.Obj, record.At.Gen), stream);
            }

            if (record.Event is { } e)
            {
                stream.Observe(e);
            }
            else
            {
                stream.Observe(record.Operation with { IntendedNs = 0, SentNs = 0, DoneNs = 0 });
            }
        }

        return checker.Snapshot();
    }

    public Operation Operation(OperationKind kind, Position at)
    {
        var sent = _clock += 2;
        return new()
        {
            Number = ++_operations,
            Client = Id(Client),
            Session = Id("session:s1"),
            Device = Id(Device),
            Kind = kind,
            Outcome = OperationOutcome.Ok,
            IntendedNs = sent,
            SentNs = sent,
            DoneNs = ++_clock,
            At = at,
        };
    }

    private Position Next(string obj)
    {
        var (gen, seq) = _positions.GetValueOrDefault(obj, (1, 0));
        _positions[obj] = (gen, seq + 1);
        return new(Id(obj), gen, seq + 1, Life);
    }
}
