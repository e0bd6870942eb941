namespace Fleet.Kernel.Host;

/// <summary>Frames of one method that no call uses, of one thread.</summary>
internal sealed class FramePool
{
    /// <summary>Most that a thread keeps: as many actors as a small world has.</summary>
    private const int KeptMax = 16;

    private ProcedureFrame? _newest;
    private int _count;

    /// <summary>Frames that hold what another one held.</summary>
    internal ProcedureFrame? Copies { get; set; }

    internal ProcedureFrame? Newest => _newest;

    internal void Add(ProcedureFrame frame)
    {
        if (_count < KeptMax)
        {
            frame.Next = _newest;
            _newest = frame;
            _count++;
        }
    }

    internal ProcedureFrame? Take()
    {
        if (_newest is not { } taken)
        {
            return null;
        }

        _newest = taken.Next;
        taken.Next = null;
        _count--;
        return taken;
    }

    internal void Clear()
    {
        _newest = null;
        _count = 0;
    }
}

/// <summary>The frames of one thread, for whoever puts a world back while procedures stand in it.</summary>
/// <remarks>
/// Which frames are free is then part of the world's state: one that came back to its call has to leave its pool.
/// Concurrency: one thread; <see cref="Of"/> gives that of the caller. Source: docs/decisions/0108.
/// </remarks>
public sealed class FrameStore
{
    [ThreadStatic]
    private static FrameStore? Mine;

    private readonly List<FramePool> _pools = [];
    private List<ProcedureFrame>? _all;
    private long _stamp;

    private FrameStore()
    {
    }

    /// <summary>The calling thread's.</summary>
    public static FrameStore Of => Mine ??= new();

    /// <summary>What the frames of procedures are.</summary>
    public static Type FrameType => typeof(ProcedureFrame);

    /// <summary>From now on the store knows every frame of the thread, those in which actors stand included.</summary>
    public void Follow(IEnumerable<KernelActor> actors)
    {
        _all = [];
        foreach (var pool in _pools)
        {
            for (var free = pool.Newest; free is not null; free = free.Next)
            {
                _all.Add(free);
            }
        }

        foreach (var actor in actors)
        {
            for (var frame = actor.Frame; frame is not null; frame = frame.Caller)
            {
                _all.Add(frame);
            }
        }
    }

    /// <summary>After actors were put back: every frame in which none stands is free.</summary>
    /// <param name="chains">Where they stand now.</param>
    public void FreeAllBut(ReadOnlySpan<FrameChain> chains)
    {
        _stamp++;
        foreach (var chain in chains)
        {
            chain.Stamp(_stamp);
        }

        foreach (var pool in _pools)
        {
            pool.Clear();
        }

        foreach (var frame in _all!)
        {
            if (frame.InUse != _stamp)
            {
                frame.Return();
            }
        }
    }

    internal static FramePool NewPool()
    {
        var pool = new FramePool();
        Of._pools.Add(pool);
        return pool;
    }

    internal static void Made(ProcedureFrame frame) => Of._all?.Add(frame);
}

/// <summary>Where an actor stood: the frames of its suspended procedures and what they held.</summary>
public sealed class FrameChain
{
    private ProcedureFrame[] _frames = new ProcedureFrame[8];
    private ProcedureFrame[] _copies = new ProcedureFrame[8];

    /// <summary>Frames, counted from the innermost.</summary>
    public int Count { get; private set; }

    public object this[int index] => _frames[index];

    /// <summary>Keeps where an actor stands now.</summary>
    /// <returns>False where a procedure of another builder stands in between, which cannot be put back.</returns>
    public bool Keep(KernelActor actor)
    {
        Release();
        for (var frame = actor.Frame; frame is not null; frame = frame.Caller)
        {
            if (Count == _frames.Length)
            {
                Array.Resize(ref _frames, 2 * Count);
                Array.Resize(ref _copies, 2 * Count);
            }

            if (frame.IsAwaitedByOthers)
            {
                return false;
            }

            _frames[Count] = frame;
            _copies[Count++] = frame.Copy();
        }

        return !actor.StandsElsewhere;
    }

    /// <summary>Gives the frames back what they held.</summary>
    public void PutBack()
    {
        for (var i = 0; i < Count; i++)
        {
            _copies[i].CopyTo(_frames[i]);
        }
    }

    /// <summary>Forgets what was kept.</summary>
    public void Release()
    {
        for (; Count > 0; Count--)
        {
            _copies[Count - 1].ReleaseCopy();
        }
    }

    internal void Stamp(long stamp)
    {
        for (var i = 0; i < Count; i++)
        {
            _frames[i].InUse = stamp;
        }
    }
}
