using System.Collections.Concurrent;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Client.Load;

/// <summary>What a load has done so far; read by the progress display and the summary.</summary>
/// <remarks>Concurrency: any thread; single numbers are exact, two of them need not belong to one moment.</remarks>
public sealed class LoadCounters
{
    private static readonly int KindCount = Enum.GetValues<OperationKind>().Length;
    private static readonly int OutcomeCount = Enum.GetValues<OperationOutcome>().Length;

    private static readonly Errno[] Errnos = Enum.GetValues<Errno>();

    private readonly long[] _operations = new long[KindCount * OutcomeCount];
    private readonly long[] _errors = new long[KindCount * Errnos.Length];
    private long _failures;
    private long _live;
    private long _unbindsWithHolders;
    private long _unbindsInFlight;
    private long _tagMismatches;
    private long _resolvedExecuted;
    private long _resolvedNotSeen;
    private long _unresolved;

    /// <summary>Calls that failed other than by a deadline, by the type of their exception.</summary>
    public ConcurrentDictionary<string, long> Failures { get; } = new();

    /// <summary>Refusals of binds, by errno.</summary>
    public ConcurrentDictionary<Errno, long> BindErrors { get; } = new();

    /// <summary>Sum of <see cref="Failures"/>.</summary>
    public long FailureCount => Interlocked.Read(ref _failures);

    public long Operations
    {
        get
        {
            var sum = 0L;
            for (var i = 0; i < _operations.Length; i++)
                sum += Interlocked.Read(ref _operations[i]);
            return sum;
        }
    }

    /// <summary>Allocations that clients hold now.</summary>
    public long Live => Interlocked.Read(ref _live);

    public long UnbindsWithHolders => Interlocked.Read(ref _unbindsWithHolders);

    public long UnbindsInFlight => Interlocked.Read(ref _unbindsInFlight);

    public long TagMismatches => Interlocked.Read(ref _tagMismatches);

    /// <summary>Operations whose answer was lost, and which their object said it had executed.</summary>
    public long ResolvedExecuted => Interlocked.Read(ref _resolvedExecuted);

    /// <summary>Operations whose answer was lost, and which their object will never execute.</summary>
    public long ResolvedNotSeen => Interlocked.Read(ref _resolvedNotSeen);

    /// <summary>Operations whose answer was lost, and of which nobody has said yet what became.</summary>
    public long Unresolved => Interlocked.Read(ref _unresolved);

    public long Of(OperationKind kind, OperationOutcome outcome) =>
        Interlocked.Read(ref _operations[((int)kind * OutcomeCount) + (int)outcome]);

    public long Of(OperationKind kind) => Enum.GetValues<OperationOutcome>().Sum(outcome => Of(kind, outcome));

    /// <summary>Every count above zero.</summary>
    public IEnumerable<(OperationKind Kind, OperationOutcome Outcome, long Count)> All() =>
        from kind in Enum.GetValues<OperationKind>()
        from outcome in Enum.GetValues<OperationOutcome>()
        where Of(kind, outcome) > 0
        select (kind, outcome, Of(kind, outcome));

    /// <summary>Adds what another generator counted.</summary>
    public void Add(OperationKind kind, OperationOutcome outcome, long count) =>
        Interlocked.Add(ref _operations[((int)kind * OutcomeCount) + (int)outcome], count);

    /// <summary>Adds answers that said no to another generator.</summary>
    public void Add(OperationKind kind, Errno errno, long count) =>
        Interlocked.Add(ref _errors[((int)kind * Errnos.Length) + Array.IndexOf(Errnos, errno)], count);

    /// <summary>Answers with an errno of one kind of operation.</summary>
    public long Of(OperationKind kind, Errno errno) =>
        Interlocked.Read(ref _errors[((int)kind * Errnos.Length) + Array.IndexOf(Errnos, errno)]);

    /// <summary>Answers of one kind of operation that say no, by errno; only those that occurred.</summary>
    public IEnumerable<(Errno Errno, long Count)> ErrorsOf(OperationKind kind) =>
        Errnos.Select(errno => (errno, Of(kind, errno))).Where(error => error.Item2 > 0);

    /// <summary>True where the answer is an ordinary no: there is no room, the device is not there or is going
    /// away.</summary>
    /// <remarks>Every other errno says that something went wrong, and counts as an error.</remarks>
    public static bool IsRefusal(Errno errno) => errno is Errno.ENOMEM or Errno.ENOSPC or Errno.ENODEV or Errno.ENXIO
        or Errno.EBUSY or Errno.EAGAIN or Errno.ESTALE;

    public long Unknown => Enum.GetValues<OperationKind>().Sum(kind => Of(kind, OperationOutcome.Unknown));

    public void Count(in Operation operation)
    {
        Interlocked.Increment(ref _operations[((int)operation.Kind * OutcomeCount) + (int)operation.Outcome]);
        if (operation.Outcome is OperationOutcome.Fail)
            Interlocked.Increment(
                ref _errors[((int)operation.Kind * Errnos.Length) + Array.IndexOf(Errnos, operation.Err)]);
    }

    internal void Failed(Exception failure)
    {
        Interlocked.Increment(ref _failures);
        Failures.AddOrUpdate(failure.GetType().Name, 1, (_, count) => count + 1);
    }

    internal void Holding(int change) => Interlocked.Add(ref _live, change);

    internal void UnbindStarted(bool ownerHolds)
    {
        Interlocked.Increment(ref _unbindsInFlight);
        if (ownerHolds)
            Interlocked.Increment(ref _unbindsWithHolders);
    }

    internal void UnbindEnded() => Interlocked.Decrement(ref _unbindsInFlight);

    internal void AnswerLost() => Interlocked.Increment(ref _unresolved);

    internal void Resolved(bool isExecuted)
    {
        Interlocked.Decrement(ref _unresolved);
        Interlocked.Increment(ref isExecuted ? ref _resolvedExecuted : ref _resolvedNotSeen);
    }

    internal void TagMismatch() => Interlocked.Increment(ref _tagMismatches);
}
