namespace Fleet.Simulation.Cluster;

/// <summary>Runs the code of one activation or one process turn by turn, on the simulation's only thread.</summary>
/// <remarks>
/// What an await continues is posted here, becomes a turn of virtual time, and is lost when its owner is. Turns of one
/// context keep their order. Concurrency: a post from any other thread is a defect and throws.
/// </remarks>
internal class TurnContext(VirtualCluster cluster) : SynchronizationContext
{
    private long _lastTurnNs;

    protected VirtualCluster Cluster => cluster;

    /// <summary>The silo in which it runs; null for the clients' process.</summary>
    public virtual Silo? Process => null;

    /// <summary>Its memory is gone: nothing of it runs any more.</summary>
    public bool IsOver { get; protected set; }

    public override void Post(SendOrPostCallback d, object? state)
    {
        cluster.DemandOwnThread();
        if (IsOver)
        {
            return;
        }

        _lastTurnNs = Math.Max(_lastTurnNs, cluster.Time.NowNs + cluster.TurnDelayNs());
        cluster.Time.At(_lastTurnNs, new Turn(this, d, state));
    }

    public override void Send(SendOrPostCallback d, object? state) =>
        throw new NotSupportedException("A turn never waits for another one.");

    public override SynchronizationContext CreateCopy() => this;

    /// <summary>Runs one turn now.</summary>
    public void Run<T>(Action<T> turn, T argument)
    {
        var before = Current;
        SetSynchronizationContext(this);
        try
        {
            turn(argument);
        }
        finally
        {
            SetSynchronizationContext(before);
        }
    }

    /// <summary>Runs something as a turn after a time; nothing when its owner is gone by then.</summary>
    public void After(long delayNs, Action what) =>
        cluster.Time.After(delayNs, new Turn(this, static what => ((Action)what!)(), what));

    /// <summary>Completes after a time, in this context.</summary>
    public Task Delay(long delayNs)
    {
        var due = new TaskCompletionSource();
        After(delayNs, due.SetResult);
        return due.Task;
    }

    /// <summary>Completes when the work has ended, however it did, or the time is over.</summary>
    public Task WaitAsync(Task work, long patienceNs)
    {
        if (work.IsCompleted || patienceNs <= 0)
        {
            return Task.CompletedTask;
        }

        var due = new TaskCompletionSource();
        Follow(work, due);
        After(patienceNs, () => due.TrySetResult());
        return due.Task;

        static async void Follow(Task work, TaskCompletionSource due)
        {
            await work.ConfigureAwait(
                ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            due.TrySetResult();
        }
    }

    /// <summary>What ended a turn that nobody awaits.</summary>
    /// <returns>False for a defect: it ends the simulation.</returns>
    protected virtual bool Takes(Exception failure) => false;

    /// <returns>Whether the turn has to be kept for later.</returns>
    protected virtual bool Holds(Occurrence turn) => false;

    private sealed class Turn(TurnContext owner, SendOrPostCallback what, object? state) : Occurrence
    {
        public override void Happen()
        {
            if (!owner.IsOver && !owner.Holds(this))
            {
                owner.Run(static turn => turn.Execute(), this);
            }
        }

        private void Execute()
        {
            try
            {
                what(state);
            }
            catch (Exception failure) when (owner.Takes(failure))
            {
                return;
            }
        }
    }
}
