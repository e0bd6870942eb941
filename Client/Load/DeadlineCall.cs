using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;

namespace Fleet.Client.Load;

/// <summary>What a call came to, as far as its caller knows.</summary>
/// <param name="IsKnown">False: no answer in time, or none at all. It may have taken effect or not.</param>
/// <param name="Failure">What the call ended with instead of an answer; null for a plain timeout.</param>
public readonly record struct CallAnswer<T>(bool IsKnown, T Value, Exception? Failure);

/// <summary>Lets many calls in flight run into their deadlines without a timer for each.</summary>
/// <remarks>A deadline strikes up to one interval late, which a deadline of seconds does not notice.</remarks>
public sealed class DeadlineWatch : IAsyncDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);

    private readonly ConcurrentDictionary<IDeadlineCall, bool> _calls = new();
    private readonly PeriodicTimer _timer = new(Interval);
    private readonly Task _watching;
    private long _lagMaxTicks;

    public DeadlineWatch() => _watching = WatchAsync();

    internal interface IDeadlineCall
    {
        void Expire(long now);
    }

    /// <summary>The longest that this timer came late: a process that starves its own pool shows it here
    /// first.</summary>
    public TimeSpan LagMax => Stopwatch.GetElapsedTime(0, Interlocked.Read(ref _lagMaxTicks));

    public async ValueTask DisposeAsync()
    {
        _timer.Dispose();
        await _watching;
    }

    internal void Add(IDeadlineCall call) => _calls[call] = true;

    internal void Remove(IDeadlineCall call) => _calls.TryRemove(call, out _);

    private async Task WatchAsync()
    {
        var interval = (long)(Interval.TotalSeconds * Stopwatch.Frequency);
        var previous = Stopwatch.GetTimestamp();
        while (await _timer.WaitForNextTickAsync())
        {
            var now = Stopwatch.GetTimestamp();
            if (now - previous - interval > Interlocked.Read(ref _lagMaxTicks))
                Interlocked.Exchange(ref _lagMaxTicks, now - previous - interval);
            previous = now;
            foreach (var (call, _) in _calls)
                call.Expire(now);
        }
    }
}

/// <summary>One call at a time with the caller's own deadline; nothing is allocated for a call that is answered in
/// time.</summary>
/// <remarks>
/// Concurrency: one caller. A call that ran into its deadline still owns its object: the caller goes on with a new one,
/// and the
/// late answer is dropped, since its outcome is already recorded as unknown.
/// </remarks>
public sealed class DeadlineCall<T> : IValueTaskSource<CallAnswer<T>>, DeadlineWatch.IDeadlineCall, IDisposable
{
    private readonly DeadlineWatch _watch;
    private readonly Action _onCompleted;
    private ManualResetValueTaskSourceCore<CallAnswer<T>> _core;
    private ValueTaskAwaiter<T> _awaiter;
    private long _expiresAt;

    /// <summary>Twice the number of the call, plus 1 while it is in flight: whoever changes it decides the
    /// outcome.</summary>
    private long _turn;

    public DeadlineCall(DeadlineWatch watch)
    {
        _watch = watch;
        _onCompleted = OnCompleted;
        watch.Add(this);
    }

    /// <summary>The last call ran into its deadline; this object is spent.</summary>
    public bool IsSpent { get; private set; }

    public ValueTask<CallAnswer<T>> StartAsync(ValueTask<T> call, TimeSpan deadline)
    {
        _awaiter = call.GetAwaiter();
        if (_awaiter.IsCompleted)
            return new(Answer());

        _core.Reset();
        _core.RunContinuationsAsynchronously = false;
        Volatile.Write(ref _expiresAt, Stopwatch.GetTimestamp() + (long)(deadline.TotalSeconds * Stopwatch.Frequency));
        Interlocked.Increment(ref _turn);
        var answer = new ValueTask<CallAnswer<T>>(this, _core.Version);
        _awaiter.UnsafeOnCompleted(_onCompleted);
        return answer;
    }

    public void Dispose() => _watch.Remove(this);

    void DeadlineWatch.IDeadlineCall.Expire(long now)
    {
        var turn = Interlocked.Read(ref _turn);
        if ((turn & 1) == 0 || now < Volatile.Read(ref _expiresAt))
            return;

        if (Interlocked.CompareExchange(ref _turn, turn + 1, turn) == turn)
        {
            IsSpent = true;
            _watch.Remove(this);
            _core.SetResult(new(false, default!, null));
        }
    }

    CallAnswer<T> IValueTaskSource<CallAnswer<T>>.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<CallAnswer<T>>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<CallAnswer<T>>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private void OnCompleted()
    {
        var turn = Interlocked.Read(ref _turn);
        var answer = Answer();
        if ((turn & 1) == 1 && Interlocked.CompareExchange(ref _turn, turn + 1, turn) == turn)
            _core.SetResult(answer);
    }

    /// <summary>Whatever a call throws says only that its outcome is not known here; the caller records it
    /// so.</summary>
    private CallAnswer<T> Answer()
    {
        try
        {
            return new(true, _awaiter.GetResult(), null);
        }
        catch (Exception e)
        {
            return new(false, default!, e);
        }
    }
}
