local MarkingController = {}

function MarkingController:execute_marking(data)
  return true, { symbol = data.serial
end

return MarkingController
