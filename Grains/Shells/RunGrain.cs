namespace Fleet.Grains.Shells;

/// <summary>Seats, the common start, orders and last words of one run.</summary>
/// <remarks>Concurrency: what interleaves only waits, or reads and writes one seat.</remarks>
internal sealed class RunGrain(TimeProvider time, LongPoll longPoll) : Grain, IRunGrain
{
    /// <summary>A generator tells twice a second; what is silent for so long is gone, or as good as gone.</summary>
    private static readonly TimeSpan SilenceMax = TimeSpan.FromSeconds(10);

    private readonly List<Seat> _seats = [];
    private readonly TaskCompletionSource _go = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private string _plan = "";
    private int _generators;
    private RunOrder _order;

    public ValueTask Open(string plan, int generators, string process)
    {
        if (_generators == 0)
        {
            (_plan, _generators) = (plan, generators);
            _seats.Add(new(1, process, time.GetTimestamp()));
            DelayDeactivation(TimeSpan.FromDays(3650));
        }

        return default;
    }

    public ValueTask<RunSeat> Join(string process)
    {
        if (_seats.Count == 0 || _seats.Count >= _generators)
        {
            return new(new RunSeat(0, _generators, ""));
        }

        _seats.Add(new(_seats.Count + 1, process, time.GetTimestamp()));
        return new(new RunSeat(_seats.Count, _generators, _plan));
    }

    public async ValueTask<bool> Ready(int number)
    {
        Heard(number).State = "ready";
        if (_seats.Count == _generators && _seats.TrueForAll(seat => seat.State is "ready"))
        {
            _go.TrySetResult();
        }

        try
        {
            await _go.Task.WaitAsync(longPoll.For, time);
        }
        catch (TimeoutException)
        {
            return false;
        }

        Heard(number).State = "running";
        return true;
    }

    public ValueTask<RunOrder> Tell(GeneratorMoment moment)
    {
        var seat = Heard(moment.Number);
        seat.Moment = moment;
        if (seat.State is "joined")
        {
            seat.State = "running"; // Its silo died and took the start along with it.
            _go.TrySetResult();
        }

        return new(_order);
    }

    public ValueTask Finish(GeneratorReport report)
    {
        var seat = Heard(report.Number);
        (seat.State, seat.Report) = ("finished", report);
        return default;
    }

    public ValueTask<GeneratorReport[]> Reports() =>
        new([.. _seats.Where(seat => seat.Report is not null).Select(seat => seat.Report!)]);

    public ValueTask<RunStatus> Order(bool? isPaused, bool? isStopped, int? clientsMax)
    {
        _order = new(isPaused ?? _order.IsPaused, isStopped ?? _order.IsStopped, clientsMax ?? _order.ClientsMax);
        return Status();
    }

    public ValueTask<RunStatus> Status()
    {
        var generators = _seats.Select(seat => seat.ToStatus(time.GetElapsedTime(seat.HeardAt), SilenceMax)).ToArray();
        var state = _generators == 0 ? "unknown"
            : !_go.Task.IsCompleted ? "gathering"
            : Array.TrueForAll(generators, one => one.State is "finished") ? "over"
            : _order.IsStopped ? "stopping"
            : _order.IsPaused ? "paused"
            : "running";
        return new(new RunStatus(state, _generators, _order.ClientsMax, generators));
    }

    private Seat Heard(int number)
    {
        // A run that lost its silo knows no seats until its generators tell it again.
        while (_seats.Count < number)
        {
            _seats.Add(new(_seats.Count + 1, "", time.GetTimestamp()));
        }

        _generators = Math.Max(_generators, _seats.Count);
        var seat = _seats[number - 1];
        seat.HeardAt = time.GetTimestamp();
        return seat;
    }

    private sealed class Seat(int number, string process, long heardAt)
    {
        public string State { get; set; } = "joined";

        public long HeardAt { get; set; } = heardAt;

        public GeneratorMoment? Moment { get; set; }

        public GeneratorReport? Report { get; set; }

        public GeneratorStatus ToStatus(TimeSpan silent, TimeSpan silenceMax) => new(
            number, process, State is not "finished" && silent > silenceMax ? "lost" : State, Moment?.Phase ?? "",
            Moment?.Operations ?? 0, Moment?.PerSecond ?? 0, silent.TotalSeconds);
    }
}
