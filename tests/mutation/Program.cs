using Fleet.Mutation;

return args switch
{
    ["trace", var folder] => Worker.Trace(new(folder)),
    ["judge", var folder, var first] => Worker.Judge(new(folder), int.Parse(first)),
    _ => Campaign.Run(args),
};
