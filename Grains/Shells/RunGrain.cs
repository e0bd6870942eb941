using Orleans.Runtime;

namespace Fleet.Grains.Shells;

/// <summary>What of a run outlives the silo of its grain.</summary>
[GenerateSerializer, Alias("fleet.RunState")]
internal sealed class RunState
{
    [Id(0)]
    public string Plan { get; set; } = "";

    /// <summary>How many share the run; 0 while it is not open.</summary>
    [Id(1)]
    public int Generators { get; set; }

    [Id(2)]
    public bool HasBegun { get; set; }

    [Id(3)]
    public RunOrder Order { get; set; }

    [Id(4)]
    public List<SeatState> Seats { get; set; } = [];
}

/// <summary>One generator's seat.</summary>
[GenerateSerializer, Alias("fleet.SeatState")]
internal sealed class SeatState
{
    [Id(0)]
    public int Number { get; set; }

    [Id(1)]
    public int Place { get; set; }

    [Id(2)]
    public string Process { get; set; } = "";

    [Id(3)]
    public string State { get; set; } = "joined";

    [Id(4)]
    public GeneratorReport? Report { get; set; }
}

/// <summary>Seats, the common start, orders and last words of one run.</summary>
/// <remarks>Concurrency: what interleaves only waits, or reads and writes one seat.</remarks>
[KeepAlive]
internal sealed class RunGrain(
    TimeProvider time, LongPoll longPoll, [PersistentState("run", "fleet")] IPersistentState<RunState> store)
    : Grain, IRunGrain
{
    /// <summary>A generator tells twice a second; what is silent for so long is gone, or as good as gone.</summary>
    private static readonly TimeSpan SilenceMax = TimeSpan.FromSeconds(10);

    /// <summary>Seats of generators that follow others are counted from here.</summary>
    private const int FollowersFrom = 17;

    private readonly Dictionary<int, (long At, GeneratorMoment? Moment)> _heard = [];
    private readonly TaskCompletionSource _go = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task? _saving;
    private bool _isChanged;

    private RunState Run => store.State;

    /// <summary>Seats that count: those that nobody follows.</summary>
    private IEnumerable<SeatState> Active => Run.Seats.Where(seat => seat.State is not "followed");

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        if (Run.HasBegun)
        {
            _go.TrySetResult();
        }

        // Who was heard by an earlier activation has as long as anybody to be heard by this one.
        foreach (var seat in Run.Seats)
        {
            _heard[seat.Number] = (time.GetTimestamp(), null);
        }

        return Task.CompletedTask;
    }

    public async ValueTask Open(string plan, int generators, string process)
    {
        if (Run.Generators > 0)
        {
            return;
        }

        (Run.Plan, Run.Generators) = (plan, generators);
        Seat(1, 1, process);
        await SaveAsync();
    }

    public async ValueTask<RunSeat> Join(string process, int[] left)
    {
        var taken = Active.Count();
        if (taken > 0 && taken < Run.Generators)
        {
            var place = Enumerable.Range(1, Run.Generators).First(free => Active.All(seat => seat.Place != free));
            Seat(place, place, process);
            await SaveAsync();
            return new(place, Run.Generators, Run.Plan, place, []);
        }

        if (Active.FirstOrDefault(seat => IsLost(seat) && left.Contains(seat.Number)) is not { } lost)
        {
            return new(0, Run.Generators, "", 0, []);
        }

        lost.State = "followed";
        var number = Math.Max(FollowersFrom, Run.Seats.Max(seat => seat.Number) + 1);
        int[] follows = [.. Run.Seats.Where(seat => seat.Place == lost.Place).Select(seat => seat.Number)];
        Seat(number, lost.Place, process);
        await SaveAsync();
        return new(number, Run.Generators, Run.Plan, lost.Place, follows);
    }

    public async ValueTask<bool> Ready(int number)
    {
        var seat = Heard(number);
        seat.State = "ready";
        if (!Run.HasBegun && Active.Count() == Run.Generators && Active.All(one => one.State is "ready"))
        {
            Run.HasBegun = true;
            await SaveAsync();
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
        _heard[moment.Number] = (time.GetTimestamp(), moment);
        if (Run.HasBegun && Run.Seats.Find(seat => seat.Number == moment.Number) is { State: "joined" or "ready" } seat)
        {
            seat.State = "running"; // An earlier activation died before it wrote that.
        }

        return new(Run.Order);
    }

    public async ValueTask Finish(GeneratorReport report)
    {
        var seat = Heard(report.Number);
        (seat.State, seat.Report) = ("finished", report);
        await SaveAsync();
    }

    public ValueTask<GeneratorReport[]> Reports() =>
        new([.. Active.Where(seat => seat.Report is not null).Select(seat => seat.Report!)]);

    public async ValueTask<RunStatus> Order(bool? isPaused, bool? isStopped, int? clientsMax, double? speed)
    {
        var order = Run.Order;
        Run.Order = new(
            isPaused ?? order.IsPaused, isStopped ?? order.IsStopped, clientsMax ?? order.ClientsMax,
            speed ?? order.Speed);
        await SaveAsync();
        return await Status();
    }

    public ValueTask<RunStatus> Status()
    {
        var generators = Run.Seats.Select(ToStatus).ToArray();
        var state = Run.Generators == 0 ? "unknown"
            : !Run.HasBegun ? "gathering"
            : Active.All(seat => seat.State is "finished") ? "over"
            : Run.Order.IsStopped ? "stopping"
            : Run.Order.IsPaused ? "paused"
            : "running";
        return new(new RunStatus(state, Run.Generators, Run.Order.ClientsMax, generators, Run.Order.Speed));
    }

    private void Seat(int number, int place, string process)
    {
        Run.Seats.Add(new() { Number = number, Place = place, Process = process });
        _heard[number] = (time.GetTimestamp(), null);
    }

    private SeatState Heard(int number)
    {
        _heard[number] = (time.GetTimestamp(), _heard[number].Moment);
        return Run.Seats.Find(seat => seat.Number == number)!;
    }

    private TimeSpan Silence(SeatState seat) => time.GetElapsedTime(_heard[seat.Number].At);

    private bool IsLost(SeatState seat) =>
        seat.State is not ("finished" or "followed") && Silence(seat) > SilenceMax;

    private GeneratorStatus ToStatus(SeatState seat)
    {
        var moment = _heard[seat.Number].Moment;
        return new(
            seat.Number, seat.Process, IsLost(seat) ? "lost" : seat.State, moment?.Phase ?? "",
            moment?.Operations ?? 0, moment?.PerSecond ?? 0, Silence(seat).TotalSeconds, seat.Place);
    }

    /// <summary>Stores what was changed; one write at a time, since each is held against the one before it.</summary>
    private async Task SaveAsync()
    {
        _isChanged = true;
        while (_isChanged)
        {
            if (_saving is { } running)
            {
                await running;
                continue;
            }

            _isChanged = false;
            _saving = store.WriteStateAsync();
            try
            {
                await _saving;
            }
            finally
            {
                _saving = null;
            }
        }
    }
}
