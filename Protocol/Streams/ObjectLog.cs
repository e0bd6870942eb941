using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Kernel.Host;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Streams;

/// <summary>
/// The stream of one object: its positions, shared by events and operations, and its events until they are durable.
/// </summary>
/// <remarks>
/// Invariant: positions are dense from 1 within an incarnation, and the observer sees them in order.
/// Concurrency: one grain turn. Source: history-format, sections Objects and Order.
/// </remarks>
/// <param name="obj">Id of the object's name.</param>
public sealed class ObjectLog(FleetContext context, int obj)
{
    /// <summary>Events of a spare list at most: what has grown larger is not kept.</summary>
    private const int SpareMax = 64;

    /// <summary>What the last commit of the thread had its events in, for the next one of any object.</summary>
    [ThreadStatic]
    private static List<HistoryEvent>? _spare;

    private List<HistoryEvent>? _pending;
    private IObjectStream? _stream;

    /// <summary>The opening, and once it is open the newest commit.</summary>
    private Task? _running;
    private Tenure? _tenure;
    private long _seq;

    // What a call asks of its tenure, without a cache line of another object.
    private volatile bool _isOver;
    private bool _servesToItsEnd;

    public ObjectLog(FleetContext context, string name)
        : this(context, context.Objects.Intern(name))
    {
    }

    public FleetContext Context => context;

    /// <summary>As the table has it, which writes out what it need not keep: not to be asked for by a call.</summary>
    public string Name => context.Objects.Name(Obj);

    /// <summary>Id of the object's name.</summary>
    public int Obj => obj;

    /// <summary>Incarnation; 0 until it was opened.</summary>
    public int Gen { get; private set; }

    /// <summary>Life that positions are given in, from 1.</summary>
    public int Life { get; set; } = 1;

    public bool IsOpen => Gen != 0;

    /// <summary>It may answer: its incarnation is the newest as far as is known, and its process may serve.</summary>
    public bool Serves => _servesToItsEnd ? !_isOver : _tenure is { Serves: true };

    /// <summary>This incarnation has ended; nothing of it becomes durable any more.</summary>
    public bool IsOver => _isOver;

    /// <summary>What the incarnations before this one left of a device.</summary>
    public DeviceState Before => _tenure?.Before ?? default;

    public Tenure? Tenure => _tenure;

    /// <summary>The newest position that was given.</summary>
    public At Last => new(Gen, _seq, Life);

    /// <summary>The position that the next event or operation of this turn gets.</summary>
    public At Upcoming => new(Gen, _seq + 1, Life);

    /// <summary>Begins an incarnation: its number is fenced, its first event recorded.</summary>
    /// <param name="plan">What the next incarnation has to know to begin.</param>
    public ValueTask OpenAsync(KeptPlan? plan = null)
    {
        if (IsOpen)
        {
            return ValueTask.CompletedTask;
        }

        var opening = _running ??= OpenOnceAsync(plan);
        return opening.IsCompletedSuccessfully ? ValueTask.CompletedTask : new(opening);
    }

    /// <summary>Gives a position to an operation, and nothing is stored.</summary>
    public At Take() => new(Gen, checked(++_seq), Life);

    /// <summary>Lets the observer see an operation at the position that it was just given.</summary>
    public void Observe(in Operation operation) => _stream?.Observe(operation);

    public bool IsObserved => _stream is not null;

    /// <summary>Adds what an operation reaches of it.</summary>
    internal void AddTo(ReachedObjects reached)
    {
        reached.Add(this);
        if (!_servesToItsEnd)
        {
            reached.Add(_tenure);
        }

        _stream?.AddTo(reached);
    }

    /// <summary>Records an event at the next position.</summary>
    public At Add(
        EventKind kind, string? actor = null, int other = 0, ulong start = 0, ulong sizeBytes = 0, ulong pfn = 0,
        long count = 0, int node = -1, string? fn = null, string? text = null, Errno err = Errno.OK,
        AllocId alloc = default,
        IReadOnlyList<Position>? after = null)
    {
        var at = Take();
        var happened = new HistoryEvent
        {
            Kind = kind,
            At = new Position(Obj, at.Gen, at.Seq, at.Life),
            Proc = context.ProcessId,
            TimeNs = context.Clock.NowNs,
            Actor = actor,
            Err = err,
            After = after ?? [],
            Other = other,
            Start = start,
            SizeBytes = sizeBytes,
            Pfn = pfn,
            Count = count,
            Node = node,
            Fn = fn,
            Text = text,
            Alloc = alloc,
        };
        (_pending ??= TakeSpare()).Add(happened);
        if (!IsOver)
        {
            _stream?.Observe(happened);
        }

        return at;
    }

    /// <summary>Nothing was recorded that is not durable yet.</summary>
    /// <remarks>
    /// An answer that leaves while this is false shows a position whose predecessors a crash may still take away: it
    /// waits for <see cref="CommitAsync"/> first.
    /// </remarks>
    public bool IsSettled => _running is null or { IsCompleted: true } && _pending is null or { Count: 0 };

    /// <summary>Completes when everything that was recorded so far is durable; at once when it is.</summary>
    /// <remarks>One commit of an object at a time: a later position is never durable before an earlier one.</remarks>
    /// <exception cref="StaleIncarnationException">The incarnation is over; nothing more of it is stored.</exception>
    public ValueTask CommitAsync()
    {
        if (IsOver)
        {
            return ValueTask.FromException(new StaleIncarnationException(Name, Gen));
        }

        if (_running is { IsCompleted: false })
        {
            return new(CommitBehindAsync());
        }

        if (_pending is null or { Count: 0 })
        {
            return ValueTask.CompletedTask;
        }

        var events = _pending;
        _pending = null;
        var sent = context.Log.CommitAsync(events);
        if (sent.IsCompletedSuccessfully)
        {
            if (events.Capacity <= SpareMax)
            {
                events.Clear();
                _spare = events;
            }

            return sent;
        }

        _running = sent.AsTask();
        return new(_running);
    }

    /// <summary>Its tenure is over; any thread.</summary>
    internal void End() => _isOver = true;

    private static List<HistoryEvent> TakeSpare()
    {
        var spare = _spare ?? [];
        _spare = null;
        return spare;
    }

    private async Task OpenOnceAsync(KeptPlan? plan)
    {
        var name = Name;
        var tenure = await context.Incarnations.BeginAsync(name, plan);
        _tenure = tenure;
        tenure.Tell(this);
        _servesToItsEnd = ReferenceEquals(tenure.Term, ServingTerm.Unlimited);
        Life = Math.Max(Life, tenure.Before.Life);
        Gen = tenure.Gen;
        _stream = context.Streams?.Open(name, tenure.Gen);
        Add(EventKind.Incarnation, text: context.Process, fn: tenure.Gen == 1 ? "first" : "failover");
    }

    private async Task CommitBehindAsync()
    {
        var last = _seq;
        while (_running is { IsCompleted: false } running)
        {
            await running;
        }

        // What was recorded by then may have gone out with somebody else's commit in the meantime.
        if (_pending is { Count: > 0 } pending && pending[0].At.Seq <= last)
        {
            await CommitAsync();
        }
    }
}
