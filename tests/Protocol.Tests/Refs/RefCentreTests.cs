using CsCheck;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Wire;

namespace Fleet.Protocol.Tests.Refs;

[Trait("tier", "fast")]
public sealed class RefCentreTests
{
    private const int Slots = 3;

    private enum Move { Get, Put, Kill, Fold, Confirm, Deliver, Repeat }

    /// <summary>What the network still carries, and what the plain counter says.</summary>
    private sealed class World
    {
        private RefCentre _centre;
        private readonly RefSlot[] _slots = [new(), new(), new()];
        private readonly List<SlotReport> _wire = [];
        private readonly List<SlotReport> _delivered = [];
        private readonly SlotReport[] _folds = new SlotReport[Slots];
        private readonly bool[] _isFolded = new bool[Slots];
        private readonly long[] _held = new long[Slots];
        private bool _isKilled;
        private bool _isConfirmed;

        public World() => _centre.Init();

        private long Plain => (_isKilled ? 0 : 1) + _held.Sum();

        public int Released { get; private set; }

        public void Step(Move move, int slot, int pick)
        {
            switch (move)
            {
                case Move.Get when _slots[slot].TryGetLive():
                    _held[slot]++;
                    break;
                case Move.Put when _held[slot] > 0:
                    _held[slot]--;
                    _slots[slot].Put(1);
                    if (_slots[slot].State is RefSlotState.Folded)
                    {
                        _wire.Add(_slots[slot].Report(slot, default));
                    }

                    break;
                case Move.Kill when !_isKilled:
                    _isKilled = true;
                    _centre.Kill();
                    Array.ForEach(_slots, s => s.MarkDying());
                    break;
                case Move.Fold when _isKilled:
                    _folds[slot] = _slots[slot].Fold(slot, new At(1, 1, 1));
                    _isFolded[slot] = true;
                    break;
                case Move.Confirm when !_isConfirmed && _isFolded.All(folded => folded):
                    _isConfirmed = true;
                    Count(_centre.Confirm(_folds));
                    break;
                case Move.Deliver when _wire.Count > 0:
                    var report = _wire[pick % _wire.Count];
                    _wire.Remove(report);
                    _delivered.Add(report);
                    Count(_centre.Apply(report));
                    break;
                case Move.Repeat when _delivered.Count > 0:
                    Count(_centre.Apply(_delivered[pick % _delivered.Count]));
                    break;
                default:
                    break;
            }

            Assert.True(Released == 0 || Plain == 0, "released while held");
            Assert.True(_centre.Value >= Plain || !_isConfirmed, "understated");
        }

        /// <summary>Everyone lets go and every newest report arrives; earlier ones may be lost.</summary>
        public void Drain()
        {
            Step(Move.Kill, 0, 0);
            for (var slot = 0; slot < Slots; slot++)
            {
                Step(Move.Fold, slot, 0);
            }

            Step(Move.Confirm, 0, 0);
            for (var slot = 0; slot < Slots; slot++)
            {
                while (_held[slot] > 0)
                {
                    Step(Move.Put, slot, 0);
                }

                Count(_centre.Apply(_slots[slot].Report(slot, default)));
            }

            Assert.Equal(0, _centre.Value);
            Assert.True(_centre.IsReaped);
        }

        private void Count(bool isReleased) => Released += isReleased ? 1 : 0;
    }

    // Goal: whatever is lost, repeated or reordered, the ref is released once, and only when nothing is held.
    // Method: random moves beside a plain counter that sees every get and put at once; then the newest reports arrive.
    [Fact]
    public void The_ref_is_released_once_and_never_while_held() =>
        Gen.Select(Gen.Enum<Move>(), Gen.Int[0, Slots - 1], Gen.Int[0, 1000]).Array[0, 120].Sample(moves =>
        {
            var world = new World();
            foreach (var (move, slot, pick) in moves)
            {
                world.Step(move, slot, pick);
            }

            world.Drain();
            Assert.Equal(1, world.Released);
        });

    [Fact]
    public void Until_the_switch_is_confirmed_no_count_releases()
    {
        var centre = new RefCentre();
        centre.Init();
        centre.Kill();
        Assert.False(centre.Apply(new(1, 1, 0, 0, default)));
        Assert.Equal(0, centre.Value);
        Assert.True(centre.IsSwitching);
        Assert.True(centre.Confirm([]));
    }

    [Fact]
    public void References_taken_on_a_dead_ref_count_and_are_released_again()
    {
        var centre = new RefCentre();
        centre.Init();
        centre.Kill();
        Assert.True(centre.Confirm([]));
        Assert.False(centre.Apply(new(4, 1, 16, 0, default)));
        Assert.Equal(16, centre.Value);
        Assert.True(centre.Apply(new(4, 2, 16, 16, default)));
    }

    [Fact]
    public void A_second_kill_drops_one_reference_too_many()
    {
        var centre = new RefCentre();
        centre.Init();
        centre.Kill();
        centre.Kill();
        Assert.Equal(-1, centre.Value);
    }

    [Fact]
    public void A_dying_slot_takes_nothing_and_still_counts_what_comes_back()
    {
        var slot = new RefSlot();
        slot.Begin(RefSlotState.Live);
        Assert.True(slot.TryGetLive());
        slot.MarkDying();
        Assert.False(slot.TryGetLive());
        slot.Put(1);
        Assert.Equal(0, slot.Fold(SlotReport.DeviceSlot, default).Held);
        Assert.Equal(RefSlotState.Folded, slot.State);
    }
}
